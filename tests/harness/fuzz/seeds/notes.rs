[
    "---\ntype: email\ntags:\n  - a\n---\nHello wörld\none two three\n\0---\ntype: reply\ntags:\n  - a\n---\nHello wörld\none 2 three\n",
    "\u{feff}---\r\na: 1\r\n---\r\nx\r\n\0---\n---\n",
    "---\na: 1\na: 2\n---\n\0---\nb: 1\n# c\n---",
    "a\nb\rc\r\n\0",
    "# one\n\ntext\n\0# one\n\ntext\n\nmore é́\n",
]
