"use strict";
// The page reads well without this: it adds one example at a time, a filter, and the keys j and k.
(() => {
  const examples = [...document.querySelectorAll(".example")];
  const picks = [...document.querySelectorAll(".picks li")];
  if (!examples.length) return;
  const filters = [...document.querySelectorAll("[data-filter]")];
  const where = document.querySelector(".where");
  document.documentElement.classList.add("js");
  document.querySelectorAll(".filters, .steps").forEach((part) => { part.hidden = false; });
  let filter = "all";
  let current = 0;

  const fits = (example) =>
    filter === "all" || example.classList.contains(filter === "accepted" ? "kept" : "dropped");

  function show(index) {
    current = index;
    examples.forEach((example, i) => example.classList.toggle("current", i === index));
    picks.forEach((pick, i) => {
      pick.hidden = !fits(examples[i]);
      const link = pick.firstElementChild;
      if (i === index) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    });
    const fitting = examples.filter(fits);
    const place = fitting.indexOf(examples[index]) + 1;
    where.textContent = fitting.length ? `${place} of ${fitting.length}` : "none";
  }

  function step(by) {
    const fitting = examples.map((_, i) => i).filter((i) => fits(examples[i]));
    if (!fitting.length) return;
    const place = fitting.indexOf(current);
    show(fitting[(place + by + fitting.length) % fitting.length]);
    const browser = document.querySelector(".browser");
    if (browser.getBoundingClientRect().top < 0) browser.scrollIntoView();
  }

  function reveal(hash) {
    const target = hash.length > 1 ? document.getElementById(hash.slice(1)) : null;
    const index = target ? examples.indexOf(target.closest(".example")) : -1;
    if (index < 0) return;
    if (!fits(examples[index])) choose("all");
    show(index);
    if (target.tagName === "DETAILS") target.open = true;
    if (target !== examples[index]) {
      target.scrollIntoView({ block: "center" });
      target.classList.remove("flash");
      void target.offsetWidth;
      target.classList.add("flash");
    }
  }

  function choose(name) {
    filter = name;
    filters.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.filter === name)));
    const first = examples.findIndex(fits);
    show(fits(examples[current]) || first < 0 ? current : first);
  }

  filters.forEach((button) => button.addEventListener("click", () => choose(button.dataset.filter)));
  document.querySelectorAll("[data-step]").forEach((button) =>
    button.addEventListener("click", () => step(Number(button.dataset.step))));
  picks.forEach((pick, i) => pick.addEventListener("click", (event) => { event.preventDefault(); show(i); }));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "j") step(1);
    if (event.key === "k") step(-1);
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest(".mask, .evidence");
    if (!link) return;
    event.preventDefault();
    history.replaceState(null, "", link.hash);
    reveal(link.hash);
  });
  window.addEventListener("hashchange", () => reveal(location.hash));
  show(0);
  reveal(location.hash);
})();
