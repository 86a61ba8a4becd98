"""Wikilinks: which of them are mentions of an article, their targets, and the text they show.

Guarantees: a target has one spelling, so that links, titles and redirects can be joined on it.
"""

from __future__ import annotations

import html
import re
from urllib.parse import unquote

FILES = frozenset({
    "file", "image", "media", "文件", "檔案", "档案", "图像", "圖像", "图片", "圖片", "影像", "файл", "картинка",
    "изображение", "datei", "bild", "fichier", "archivo", "imagen", "ficheiro", "imagem", "bestand", "afbeelding",
    "plik", "grafika", "ファイル", "画像", "immagine",
})  # fmt: skip
CATEGORIES = frozenset({
    "category", "分类", "分類", "категория", "kategorie", "catégorie", "categoría", "categoria", "categorie",
    "kategoria", "カテゴリ", "분류",
})  # fmt: skip
# Shown as text, but not a mention of an article.
OTHER_SPACES = frozenset({
    "talk", "user", "wikipedia", "wp", "project", "help", "template", "portal", "special", "draft", "module",
    "mos", "book", "mediawiki", "timedtext", "topic", "wikt", "wiktionary", "wikisource", "wikiquote", "wikibooks",
    "wikinews", "wikiversity", "wikispecies", "wikidata", "commons", "meta", "species", "voy", "voyage",
    "foundation", "mw", "bugzilla", "phab", "doi", "iarchive", "oclc", "google", "imdbname", "imdbtitle", "用户",
    "用戶", "使用者", "维基百科", "維基百科", "帮助", "幫助", "模板", "样板", "樣板", "主题", "主題", "特殊",
    "草稿", "模块", "模組",
})  # fmt: skip
INTERWIKI = re.compile(r"[a-z]{1,3}(?:-[a-z-]+)?$|simple$")
SPACES = re.compile(r"[\s_]+")
PIPE_TRICK = re.compile(r"^:?(?:[^:]*:)?(.*?)(?: ?[(（][^()（）]*[)）])?(?:, .*)?$", re.DOTALL)
URL_TARGET = re.compile(r"[\s:]*+(?:(?:[a-z][a-z\d+.-]*+:)?//|mailto:)[^\s\[\]<>]*+", re.IGNORECASE)
NOT_IN_TITLES = re.compile(r"[\[\]{}|<>\n\ufdd0-\ufdef\ufffc\U000f0000-\U0010ffff]")


def normalise_title(title: str) -> str:
    """Normalise a title as in `Link.target`; empty if it cannot name a page of this wiki."""
    if "%" in title:
        title = unquote(title, errors="ignore")
    if "&" in title:
        title = html.unescape(title)
    title = SPACES.sub(" ", title.partition("#")[0]).strip(" :")
    return "" if NOT_IN_TITLES.search(title) else title[:1].upper() + title[1:]


def split_namespace(target: str) -> tuple[str, str]:
    """Return the namespace or wiki of a target (lower case, empty for an article here), and the rest."""
    prefix, colon, rest = target.partition(":")
    if not colon:
        return "", target
    prefix = SPACES.sub(" ", prefix).strip()
    known = prefix.lower().removesuffix(" talk")
    if known in FILES or known in CATEGORIES or known in OTHER_SPACES or INTERWIKI.match(prefix):
        return known, rest
    return "", target


def split_url(target: str) -> tuple[str, str]:
    """Return the URL in the position of a link's target, and the words after it; two empty strings for a title."""
    found = URL_TARGET.match(target)
    return (found[0].strip(), target[found.end() :].strip()) if found else ("", "")


def is_invisible(namespace: str) -> bool:
    """Return whether a link into a namespace shows nothing in its position (without a colon before it)."""
    if namespace in FILES:
        return namespace != "media"
    other_language = len(namespace) > 1 and namespace not in OTHER_SPACES and bool(INTERWIKI.match(namespace))
    return namespace in CATEGORIES or other_language


def apply_pipe_trick(target: str) -> str:
    """Return the text that [[target|]] shows: no namespace, nothing in brackets, nothing after a comma."""
    found = PIPE_TRICK.match(target)
    return found[1] if found else target
