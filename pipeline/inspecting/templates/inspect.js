"use strict";
// Everything here is a link or a form and works without this: it adds keys, the help, and a live page that follows.
(() => {
  const dialog = document.getElementById("keys");
  document.querySelectorAll(".help, [data-pause]").forEach((button) => { button.hidden = false; });
  document.querySelector(".help").addEventListener("click", () => dialog.showModal());

  function step(by) {
    const rows = [...document.querySelectorAll("[data-row]")];
    if (!rows.length) return false;
    const place = rows.indexOf(document.activeElement);
    const next = rows[place < 0 ? (by > 0 ? 0 : rows.length - 1) : place + by];
    if (next) { next.focus(); next.scrollIntoView({ block: "nearest" }); }
    return true;
  }

  const isShown = (one) => one.matches("summary") || !one.closest("details:not([open])");
  function isUnanswered(choice) {
    const input = choice.querySelector("input[type=radio]");
    return !input || !document.querySelector(`input[name="${input.name}"]:checked`);
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
    if (event.target.matches("input:not([type=radio]), select, textarea")) {
      const opened = event.key === "Enter" && document.getElementById(event.target.dataset.opens);
      if (opened) opened.open = true;
      if (opened || event.key === "Escape") event.target.blur();
      return;
    }
    if ((event.key === "j" || event.key === "k") && step(event.key === "j" ? 1 : -1)) {
      event.preventDefault();
      return;
    }
    const found = [...document.querySelectorAll("[data-key]")].filter((one) => one.dataset.key === event.key && isShown(one));
    const target = found.find(isUnanswered) || found[0];
    if (!target) return;
    event.preventDefault();
    if (target.matches("input")) { target.focus(); target.select(); } else target.click();
  });

  const live = document.querySelector("[data-refresh]");
  if (!live) return;
  const pause = document.querySelector("[data-pause]");
  let paused = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Go on" : "Pause";
  });
  setInterval(async () => {
    if (paused || document.hidden) return;
    try {
      const reply = await fetch(location.href);
      if (!reply.ok) return;
      const page = new DOMParser().parseFromString(await reply.text(), "text/html");
      const fresh = page.getElementById("live");
      if (fresh) live.replaceChildren(...document.importNode(fresh, true).childNodes);
    } catch { /* the server is gone; the page stays as it was */ }
  }, Number(live.dataset.refresh) * 1000);
})();
