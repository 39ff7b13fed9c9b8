"""Strings in metadata that would do something in a page, if they were not only shown."""

from __future__ import annotations

MARKUP: dict[str, str] = {
    "a script": "<script>alert(1)</script>",
    "an end and a script": "</td></table></script><script>alert(1)</script>",
    "an image with a handler": "<img src=x onerror=alert(1)>",
    "an attribute": '" onmouseover="alert(1)" style=\'color:red\' x="',
    "an address that runs": "javascript:alert(1)",
    "a drawing": "<svg/onload=alert(1)><a href=http://evil.example>look</a></svg>",
    "a comment that does not end": "<!-- ",
    "a style": "</style><style>body{display:none}</style>",
    "a template": "{{ 7*7 }}{% raw %}${7*7}",
    "entities": "&lt;b&gt;&#60;i&#62;",
    "another direction of writing": "\u202egnihton\u202c",
}
