"""Templates that show nothing inside the running text: references, maintenance tags, boxes beside the text, hatnotes."""

from __future__ import annotations

import re
from functools import lru_cache

NAMES = frozenset(
    name
    for line in """
sfn|sfnp|sfnm|sfnmp|rp|refn|efn|efn-ua|efn-lr|efn-la|efn-ur|ref|ref label|note|note label|r|ran|#tag:ref|harv|harvid|sfnref|reflist
notelist|refbegin|refend|notes|cref|cref2|cnote|cnote2|fnb|fn|ref-|ref label|inflation-fn|inflation/fn|bref|citeref|mref
citation needed|cn|fact|facts|cite needed|citation needed span|citation-needed|needs citation|cb|unreferenced inline|uncited
clarify|clarify span|clarification needed|clarifyme|what|when|who|whom|which|where|why|by whom|according to whom|whose|how
vague|dubious|disputed inline|disputed-inline|discuss|contradict-inline|contradict inline|verify source|verify credibility
failed verification|not in citation|nonspecific|page needed|pn|page number|full|full citation needed|fcn|better source
better source needed|bsn|self-published inline|sps|self-published source|primary source inline|primary inline|rs
primary source needed|third-party inline|unreliable source?|unreliable source|unreliable source inline|or|or?|original research inline
original research?|synthesis-inline|syn|speculation-inline|weasel-inline|weasel inline|weasel word|peacock inline|peacock term|pov-inline
pov statement|lopsided|undue inline|undue weight inline|relevance inline|importance inline|importance-inline|jargon-inline|jargon inline|incomprehensible inline
update after|update inline|update-inline|out of date inline|needs update|not verified in body|dead link|deadlink|webarchive|wayback|cbignore|subscription|subscription required
registration required|registration|link note|closed access|open access|free access|sic|sic?|as written|specify|tone inline|awkward|copyedit inline|ambiguous|elucidate
volume needed|year needed|date missing|author missing|isbn missing|chapter needed|attribution needed|qualify evidence|examples|example needed|definition|undue inline
request quotation|request quote|quote needed|need quotation to verify|citation not found|better|expand acronym|inconsistent|spelling|sentence fragment|too few opinions|opinion|improve inline
use dmy dates|use mdy dates|use ymd dates|engvarb|engvaro|italic title|italictitle|italic title prefixed|lowercase title|lowercase|displaytitle|defaultsort|title language|short description|shortdescription
coord|coords|coor d|coord missing|anchor|anchors|shortcut|nowrap begin|nowrap end|nobr begin|nobr end|nobreak|wrap|-|clear|clr|clear left|clear right|clearleft|clearright|break|br
toc|toc right|toc left|toc limit|toclimit|tocright|tocleft|compact toc|compacttoc|horizontal toc|no toc|notoc|noindex
main|main article|main articles|mainarticle|see|see also|seealso|see2|further|further information|furtherinfo|further2|details|details2|details3|about|for|for2|for-multi|about-distinguish|other uses|other uses2|otheruses|other people|other people2|other places
other hurricanes|other ships|distinguish|distinguish2|distinguish-otheruses|confused|confuse|redirect|redirect2|redirect3|redirect4|redirect6|redirect10|redir|redr|hatnote|selfref|self reference|rellink|main category|cat main|catmain|category see also|two other uses|three other uses|broader|transclude|excerpt|labelled list hatnote|wide image|very long|for timeline|hatnote group|this|not to be confused with|introduction|main list|technical reasons
good article|featured article|featured list|pp|pp-protected|pp-semi|bots|nobots|portal|portal bar|portalbar|portal-inline|authority control|good topic|subpages|spoken wikipedia|spoken wikipedia-2|wikidata|taxonbar|interwiki extra
image|multiple image|multiple images|double image|triple image|image array|image label begin|image label|image label end|image frame|css image crop|annotated image|wide image|panorama|gallery|stack|stack begin|stack end|listen|multi-listen item|multi-listen start|multi-listen end|external media|external image|external video|video|superimpose|listen image|tall image|auto images|photomontage|imagemap
location map|location map+|location map~|location map many|osm location map|maplink|mapframe|chart|graph:chart|graph:lines|legend|legend2|legend inline|legend-line|quote box|quotebox|quote frame|pull quote|pullquote|quote_box|weather box|climate chart|bar box|bar percent|bartable|bar chart|historical populations|us census population|census population|familytree|chart top|chart bottom|clade|cladogram|largest cities|sidebar|side box|align|floating link
succession box|s-start|s-end|start box|end box|s-bef|s-aft|s-ttl|s-non|s-new|s-vac|s-hon|s-off|s-ppo|s-par|s-reg|s-inc|s-break|geographic location|wikipedia books|wikipedia-books|book bar|library resources box|use british english|use american english|sister project links|sisterlinks|sister project|sister links|subject bar|commons|commons category|commons cat|commonscat|commons-inline|commons category-inline|commonscat-inline|wikiquote|wikiquote-inline|wiktionary|wiktionary-inline|wikt|wikibooks|wikisource|wikisource-inline|wikisourcelang|wikiversity|wikivoyage|wikivoyage-inline|wikinews|wikinews-inline|wikispecies|wikispecies-inline|wikiatlas|wikimedia|dmoz|curlie|official website|official|official site|imdb name|imdb title|isfdb name|find a grave|findagrave|gutenberg author|librivox author|internet archive author|internet archive film|worldcat id|c-span|charlie rose view|nyttopic|guardiantopic|isbn|isbnt|issn|oclc|doi|lccn|jstor|pmid|pmc|bibcode|arxiv|asin|ol|hdl|oeis el|url|in lang|icon|webarchive
div col|div col end|end div col|divcol|divcolend|div col begin|colbegin|colend|col-begin|col-2|col-3|col-4|col-5|col-break|col-end|col begin|col break|col end|col-begin-small|multicol|multicol-break|multicol-end|columns|column|columns-start|columns-end|end|top|bottom|hidden begin|hidden end|small begin|small end|smalldiv|font color begin|flagicon|flagdeco|flagicon image|flag icon|fr icon|de icon|es icon|it icon|en icon|ru icon|ja icon|ar icon|la icon|gr icon|el icon|pt icon|zh icon|nl icon|sv icon|pl icon|tree list|tree list/end|plainlist end|endplainlist|endflatlist|flatlist end|startflatlist|startplainlist|aligned table|poem end|hidden|collapse top|collapse bottom|hide in print|only in print|table alignment|contains special characters|special characters|map caption|mapcaption|lookfrom|intitle|featured portal|spaceflight crew|lst|section link box
stub|sectstub|section-stub|empty section|unreferenced|unreferenced section|refimprove|refimprove section|multiple issues|more footnotes|no footnotes|expand section|expand|cleanup|tone|pov|npov|disputed|update|outdated|in use|in-use|under construction|trivia|original research|essay-like|essay|advert|fan pov|plot|overly detailed|one source|primary sources|copy edit|copyedit|merge|merge to|merge from|split|globalize|globalize/us|cleanup-rewrite|long|too long|undue weight|undue weight section|prone to spam|lead too short|lead too long|tfd|afd|proposed deletion|citations missing|refimprove-sect|more citations needed|bare urls|external links|related articles|metadata|persondata|citation style|technical|confusing|current|recentism|jargon|move|proposed split|proposed merge|r from camelcase|dynamic list|incomplete list|in-universe|manual|weasel|unbalanced|update section
notea|noteta|notetag|noteta/math|notag|cn2|来源请求|來源請求|fact|註|注|注释|註釋|efn|need citation|or2|谁|誰|什么|何时|何時|哪裡|主条目|主條目|main article|參見|参见|另见|另見|详见|詳見|see also2|distinguish2|othertopics|消歧义链接|cite footnote|ref name|r2|dead|失效連結|失效链接|重定向自|noteta-lite|refname|頁碼請求|页码请求|clarify2|何人|何處|为何|無關連|who2|which2|cncheck|unsourced|noref
""".strip().splitlines()
    for name in line.split("|")
)  # fmt: skip
PATTERN = re.compile(
    r"(?:infobox|taxobox|speciesbox|automatic taxobox|geobox|drugbox|chembox|navbox|sidebar|use .+ (?:dates|english|spelling)|pp-|portal|"
    r"sister|wiki(?:quote|source|books|news|versity|voyage|species|media)\b|commons|campaignbox|s-(?:bef|aft|ttl|start|end)|"
    r"r (?:from|to|with|un)|db-|defaultsort|displaytitle|contains .+ text|cleanup|toc|"
    r"#tag:ref|catau|noteta|refbegin|refend|image )"
    r"|.*(?:-stub|stub\}|box|navbox|sidebar|infobox|-inline|sidebars?|topics|weatherbox|series|needed|icon|category|小作品|模板|导航|導航|信息框|資訊框)$"
)


@lru_cache(maxsize=8192)
def is_invisible(name: str) -> bool:
    """Whether a template (named in lower case) shows nothing inside the running text."""
    return name in NAMES or PATTERN.match(name) is not None
