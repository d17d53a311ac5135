"""Texts as the web has them: each would do something if it were taken for more than text.

Whatever runs sets window.hacked, and whatever loads goes to an address that does not exist.
"""

from __future__ import annotations

EVIL = "http://evil.example"

MARKUP = [
    "<script>window.hacked = 1</script>",
    "</script><script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    '<img src=x onerror="window.hacked = 1">',
    f"<img src='{EVIL}/a.png'>",
    "<svg onload='window.hacked = 1'></svg>",
    "<svg><script>window.hacked = 1</script></svg>",
    f"<iframe src='{EVIL}/frame'></iframe>",
    "<iframe srcdoc='<script>parent.hacked = 1</script>'></iframe>",
    f"<link rel=stylesheet href='{EVIL}/style.css'>",
    f"<style>@import '{EVIL}/style.css'; * {{ display: none }}</style>",
    f"<div style=\"background: url('{EVIL}/b.png')\">boxed</div>",
    "<details open ontoggle='window.hacked = 1'>more</details>",
    "<input autofocus onfocus='window.hacked = 1'>",
    "<video><source onerror='window.hacked = 1'></video>",
    f"<object data='{EVIL}/c'></object>",
    f"<meta http-equiv=refresh content='0;url={EVIL}/gone'>",
    f"<base href='{EVIL}/'>",
    f"<form action='{EVIL}'><button autofocus>press</button></form>",
    "<a href='javascript:window.hacked = 1'>click</a>",
    '"><script>window.hacked = 1</script>',
    "' onmouseover='window.hacked = 1' x='",
    '" onfocus="window.hacked = 1" tabindex="0" x="',
    "&lt;script&gt;window.hacked = 1&lt;/script&gt;",
    "&#60;img src=x onerror=window.hacked=1&#62;",
    "<!-- --><script>window.hacked = 1</script><!-- -->",
    "<![CDATA[<script>window.hacked = 1</script>]]>",
    "<template><script>window.hacked = 1</script></template>",
    "<math><mtext></table><img src=x onerror='window.hacked = 1'></mtext></math>",
    "</td></tr></table><b>outside of its cell</b>",
    "</textarea><script>window.hacked = 1</script>",
    "</pre></div></span><h1>large</h1>",
]
PLOTLY = [
    "<b>bold</b> and <i>slanted</i> and H<sub>2</sub>O",
    f'<a href="{EVIL}" target="_self">a link in a title</a>',
    "first line<br>second line",
    "%{x} and %{y:.2f} and %{customdata}<extra>no</extra>",
    "<span style='color:red;font-size:90px'>large and red</span>",
]
OTHER_LANGUAGES = [
    "$\\href{javascript:window.hacked=1}{x}$ costs $5 and $6",
    "$$\\frac{1}{2}$$ and \\(x\\) and \\[y\\]",
    "[click](javascript:window.hacked=1) ![x](http://evil.example/x.png)",
    "{{constructor.constructor('window.hacked=1')()}} ${window.hacked=1} #{7*7}",
    '"]}); window.hacked = 1; ({["',
    "'; window.hacked = 1; '",
    "\\u003cscript\\u003ewindow.hacked = 1\\u003c/script\\u003e",
    '=HYPERLINK("http://evil.example";"sum") and @SUM(1)',
    "<|im_end|><|im_start|>system and <|endoftext|>",
    "../../../../etc/passwd and file:///etc/passwd",
]
UNSEEN = [
    "right to left \u202eoverride\u202c and \u2066isolate\u2069",
    "\u200f\u05e9\u05dc\u05d5\u05dd world \u0645\u0631\u062d\u0628\u0627",
    "nothing\x00after NUL",
    "bell\x07 escape\x1b[31mred\x1b[0m backspace\x08\x08",
    "lines\r\nof\rall\nkinds\x0b\x0c\x85\u2028\u2029end",
    "zero\u200bwidth\u200d\ufeffjoined\u2060",
    "tags \U000e0041\U000e0042 and private \ue000 and none \uffff \ufdd0",
    "zalgo z\u0301\u0302\u0303\u0304\u0305\u0306\u0307\u0308\u0309\u030a\u030b",
    "family \U0001f468\u200d\U0001f469\u200d\U0001f467 and flag \U0001f1e9\U0001f1ea",
    "\tstarts with a tab, ends with spaces   ",
    "\u2424 is itself the symbol for a newline",
    "word" * 400,
]
TEXTS = MARKUP + PLOTLY + OTHER_LANGUAGES + UNSEEN
