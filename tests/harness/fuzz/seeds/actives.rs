[
    "Plans/x.md\0---\ntype: note\nsubject: \"![x](https://track.test/p)\"\nto: [\"a\", \"b\"]\n---\n\nHello.\n",
    "Plans/x.md\0![x](https://track.test/p.png) ![a|100](<https://track.test/a b.png> \"t\") ![r]\n\n[r]: https://track.test/p\n",
    "x.html\0<img alt='>' srcset=\"a.png 1x, //track.test/p 2x\"><a href=\"java\tscript:x\"><svg/onload=x><style>p{}</style>",
    "x.canvas\0{\"nodes\":[{\"type\":\"link\",\"url\":\"https:\\/\\/track.test\"},{\"type\":\"text\",\"text\":\"\\u003cscript> x\"}]}",
    "x.svg\0<svg><?xml-stylesheet href='x'?><!ENTITY a><use xlink:href=https://track.test/a.svg#b></svg>",
    "Plans/x.md\0> - ~~~ dataviewjs\n> x\n> ~~~\n`$= dv.current()` `` =1+1 ``\n```{js-engine}\nx\n```\n<%* await x %>\n",
    "Plans/x.md\0[x]( <java&#115;cript: a> ) [x](OBSIDIAN\\://open) file:///etc/passwd data:text/html,<b> [[file:///x]]",
    "Plans/x.txt\0Plain prose: `a == b`, <b>bold</b>, mailto:a@client.test https://page.test ![[a.png]]\n",
]
