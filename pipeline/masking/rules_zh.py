"""Chinese date and number rules, for figures, full-width figures and characters, simplified and traditional.

A run of numerals is tried once, at its start, so that matching stays linear. The text has plain spaces
(`find_rule_spans`).
"""

from __future__ import annotations

import re

D = r"[0-9０-９]"
NOT_FIGURE = rf"(?<!{D})(?<!{D}[.．,，])(?<![A-Za-z])"
CN = r"[〇零一二三四五六七八九十]"
CN_YEAR = r"[〇零○一二三四五六七八九]{4}"
DASH = r"\s?[-–—－~～∼至到]\s?"
YEAR = rf"(?:{D}{{2,4}}|{CN_YEAR})"
ERA_NAME = (
    r"(?:民[国國]|昭和|明治|大正|平成|令和|洪武|永[乐樂]|[万萬][历曆]"
    r"|崇[祯禎]|[顺順]治|康熙|雍正|乾隆|嘉[庆慶]|道光|咸[丰豐]|同治|光[绪緒]|宣[统統])"
)
ERA_YEAR = rf"{ERA_NAME}(?:{CN}{{1,3}}|{D}{{1,3}}|元)年"
MONTH = rf"(?:{D}{{1,2}}|{CN}{{1,3}})\s?月"
DAY = rf"(?:(?:{D}{{1,2}}|{CN}{{1,3}})\s?[日号號]|初[一二三四五六七八九十])"
BC = r"(?:西元|公元|纪元|紀元)?前\s?"
AD = r"(?:西元|公元)\s?"

DATES_ZH = re.compile(
    rf"(?=[0-9０-９〇零○一二三四五六七八九十西公纪紀前民昭明大平令洪永万萬崇顺順康雍乾嘉道咸同光宣]){NOT_FIGURE}(?:"
    rf"(?P<date>(?:{BC}|{AD})?{YEAR}\s?年\s?{MONTH}\s?{DAY}(?:{DASH}(?:{MONTH})?{DAY})?|{ERA_YEAR}{MONTH}{DAY}(?:{DASH}(?:{MONTH})?{DAY})?)"
    rf"|(?P<month>(?:{BC}|{AD})?{YEAR}\s?年\s?(?:{D}{{1,2}}{DASH})?{MONTH}(?:{DASH}{MONTH})?|{ERA_YEAR}{MONTH})"
    rf"|(?P<decade>(?:{D}{{1,2}}|{CN}{{1,3}})世[纪紀](?:{D}{{2}}|{CN}{{1,2}})年代|{D}{{2,4}}年代|{CN}{{2,4}}年代)"
    rf"|(?P<century>(?:{BC}|{AD})?第?(?:{D}{{1,2}}|{CN}{{1,3}})(?:{DASH}(?:{D}{{1,2}}|{CN}{{1,3}}))?世[纪紀])"
    rf"|(?P<year_range>(?:{BC}|{AD})?{YEAR}\s?年?(?:{DASH}|[/／])(?:{BC})?{YEAR}\s?年(?!\s?{MONTH})度?"
    rf"|(?:1{D}{{3}}|20{D}{{2}})[-–—~～/](?:{D}{{4}}|{D}{{2}})(?!{D}|[-–—~～/.]{D}))"
    rf"|(?P<era_year>(?:{BC}|{AD})(?:{D}{{1,4}}|{CN}{{1,4}}|[一二三四五六七八九]?百?{CN}{{1,3}})年|{ERA_YEAR})"
    rf"|(?P<year>(?:[12]{D}{{3}}|[１２]{D}{{3}}|{D}{{3}}|{CN_YEAR})\s?年(?!代)|(?:1{D}{{3}}|20{D}{{2}})(?![0-9０-９.,%％]))"
    rf"|(?P<day>(?:{D}{{1,2}}{DASH})?{MONTH}(?:{D}{{1,2}}{DASH})?{DAY}(?:{DASH}(?:{MONTH})?{DAY})?"
    rf"|{MONTH}{DASH}{MONTH}|{D}{{1,2}}{DASH}{D}{{1,2}}月)"
    r")"
)

SCALE = r"[十百千万萬亿億兆]"
FIGURE = rf"(?:{D}{{1,3}}(?:[,，]{D}{{3}})+|{D}{{1,3}}(?: {D}{{3}})+(?!{D})|{D}++)(?:[.．]{D}++)?"
NUMERAL = r"[〇零一二三四五六七八九十百千万萬亿億兆两兩]"
CN_VALUE = rf"(?<!{NUMERAL}){NUMERAL}{{2,}}+(?:[点點]{NUMERAL}++)?半?"
POWER = r"\s?[×x]\s?10(?:\^[−-]?\d+|[⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)"
# "4万5千", "2億5220萬", "408萬588": a scale may be followed by the figures of the next.
VALUE = (
    rf"[−-]?(?:{FIGURE})(?:{POWER})?(?:[又]{D}+[/／]{D}+)?(?:{SCALE}{{1,3}}(?:(?:{FIGURE})|[一二三四五六七八九]++(?={SCALE}))?)*+"
    rf"(?:[余餘多]{SCALE}?)?半?"
)
RANGE = rf"(?:{VALUE}(?:(?:{DASH}|\s?[×x±]\s?){VALUE}){{0,2}}|{CN_VALUE}(?:{DASH}{NUMERAL}{{2,}}+)?)"
PHYSICAL = (
    r"(?:平方公里|平方千米|平方米|平方公尺|平方英里|立方米|立方公尺|公里|千米|公尺|厘米|公分|毫米|公釐|海里|英里|英尺|英寸|光年|米|尺"
    r"|公顷|公頃|英亩|英畝|[亩畝]|公斤|千克|毫克|公吨|公噸|克|[吨噸磅斤寸丈]|先令|便士|公升|毫升|升|摄氏度|攝氏度|℃|°C|度|[千兆]?瓦|赫兹|赫茲|马力|馬力"
    r"|美元|英镑|英鎊|欧元|歐元|日元|日圓|港元|港币|港幣|人民币|人民幣|新台币|新臺幣|[元圆圓]"
    r"|(?:[kcmnμ]?m|[kmμ]?g|t|[kMG]?(?:Hz|W|V|B|Pa))(?![A-Za-z]))"
)
"""Units that are converted into one another."""
UNIT = (
    rf"(?:[个個]半?月|[个個]半?小[时時]|[个個]百分[点點]|{PHYSICAL}|人口|人|[岁歲]|[个個]|名|座|[种種]|次|所|家|艘|[辆輛]|架|[层層]"
    r"|小时|小時|分钟|分鐘|秒|分(?![之钟鐘别別布成为為离離开開类類支店校组組区區段析配行部公散裂])|角(?![色度落])|[两兩](?![个個日天年国國者])"
    r"|年|天|日|[周週]|倍|位|票|[场場]|[届屆]|[张張]|[条條]|部|集|字|卷|户|戶|股|石|片|枚)"
)
PER = r"(?:[/／每](?:小时|小時|秒|分钟|分鐘|年|平方公里|人))?"

# A smaller unit after the larger one: "2米11", "100元5角", "30度15分".
COMPOUND = (
    rf"(?:{FIGURE})(?:米{D}{{1,2}}(?!{D}|[.．,，]{D})|[元圓圆]{D}+角(?:{D}+分)?|度\s?{D}{{1,2}}分(?:\s?{D}{{1,2}}秒)?)"
)
CLASSIFIER = "[名位届屆次号號条條章集座任代季版个個大部层層张張话話册冊卷期站度回轮輪局场場天年节節]"
CLOCK = rf"{D}{{1,2}}[:：]{D}{{2}}(?:[:：]{D}{{2}})?"

NUMBERS_ZH = re.compile(
    rf"(?=[0-9０-９−$€£¥￥UHN摄攝華华百第〇零一二三四五六七八九十千万萬亿億兆两兩-]){NOT_FIGURE}(?<![第\w]-)(?:"
    rf"(?P<percent>百分之(?:{FIGURE}|[〇零一二三四五六七八九十百点點]++)|(?:{FIGURE})(?:{DASH}(?:{FIGURE}))?\s?[%％‰])"
    rf"|(?P<fraction>(?<!{NUMERAL}){NUMERAL}++分之{NUMERAL}++(?:\s?{PHYSICAL})?|{D}++又{D}++[/／]{D}++(?!\s?{UNIT})|{D}+[/／]{D}+(?![0-9０-９/／年月季賽赛]))"
    rf"|(?P<ordinal>第(?:{D}++(?:[-–—~～至到]第?{D}++|{CLASSIFIER}?[至到]第{D}++)?(?:季度|{UNIT}|{CLASSIFIER})?|[一二三四五六七八九十百千]++(?:季度|{CLASSIFIER})))"
    rf"|(?P<clock>{CLOCK}(?:{DASH}{CLOCK})?(?![0-9０-９:：.])|{D}{{1,2}}[点點时時]{D}{{1,2}}分(?:{D}{{1,2}}秒)?)"
    rf"|(?P<ratio>(?:{FIGURE})(?:\s?[:：比]\s?(?:{FIGURE}))+(?!{D}|[-–—~～]))"
    rf"|(?P<money>(?:[$€£¥￥]|US\$|HK\$|NT\$)\s?(?:{FIGURE}){SCALE}{{0,2}}[元圓圆]?)"
    rf"|(?P<quantity>{COMPOUND}|(?:[摄攝華华]氏)?(?:零下)?{RANGE}\s?{UNIT}半?{PER}(?:[人口](?=[，。；]))?)"
    rf"|(?P<cardinal>(?:{FIGURE}){SCALE}(?:{SCALE}|{FIGURE})*+(?:{DASH}(?:{FIGURE}){SCALE}++)?|(?:{FIGURE})(?:{DASH}{FIGURE})?(?![0-9０-９A-Za-z年月日号號:：点點时時]))"
    r")"
)

AFTER_ZH = re.compile(
    rf"(?<={D})(?:{SCALE}|\s?[%％‰°′″]|[,，]{D}{{3}}(?!{D})|[-–—－~～∼至到比:：/／.．]{D}|[又点點]{D}|[、和及或]{D}++(?:年代|[月日号號名])|[几幾])"
    rf"|(?<={D})年代|(?<={NUMERAL})[点點]{NUMERAL}|(?<=[万萬亿億兆千百])[0-9０-９一二三四五六七八九]|(?<={NUMERAL})(?:{SCALE}|分之)|(?<=[米度元])[0-9０-９]"
    rf"|(?<=年)(?:{D}{{1,2}}|{CN}{{1,3}})月|(?<=月)(?:{D}{{1,2}}|{CN}{{1,3}})[日号號]"
)
"""Continuation of a Chinese fact after its end."""

BEFORE_ZH = re.compile(
    rf"(?:{D}|{D}[.．:：/／~～∼–—－-]|{D}[至到比又]|第|[−±≥≤<>＞＜$€£¥°′″]\s?|[万萬亿億兆]|{D}[米元度角]|{NUMERAL}[至到比又]|[元纪紀]前|唯)\Z"
)
"""Text before a Chinese number that the number continues."""

STARTS_WITH_ZERO_ZH = re.compile(r"[零〇](?!下)")
"""In words: a further part of the preceding fact ("三年零六个月")."""

STARTS_ZH = re.compile(rf"{D}|{NUMERAL}")
