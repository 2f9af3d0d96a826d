//! What is found and what is not: true and false examples of each kind, and ways around the finder.

use super::*;
use crate::egress::tests::{notes, prose};

fn path(name: &str) -> VaultPath {
    VaultPath::parse(name).expect("a path")
}

fn kinds(text: &str) -> Vec<ActiveKind> {
    find(&path("Plans/a.md"), text.as_bytes()).into_iter().map(|finding| finding.kind).collect()
}

#[track_caller]
fn each(expected: &[ActiveKind], texts: &[&str]) {
    for text in texts {
        let around = format!("---\ntype: note\n---\n\nHello.\n\n{text}\n\nBye.\n");
        assert_eq!(kinds(&around), expected, "{text}");
        assert_eq!(kinds(text), expected, "{text} alone");
    }
}

#[test]
fn pictures_from_elsewhere_are_found_and_others_are_not() {
    each(
        &[ActiveKind::Remote],
        &[
            "![x](https://track.test/p.png)",
            "![](http://track.test)",
            "![a|100](<https://track.test/a b.png> \"title\")",
            "![x]( //track.test/p )",
            "![a [b] c](https://track.test/p)",
            "![x\ny](\nhttps://track.test/p)",
            "![`]`](https://track.test/p)",
            "![a\\]](https://track.test/p)",
            "text ![x][ref]\n\n[REF]: https://track.test/p",
            "![ref]\n\n[ref]: <https://track.test/p>",
            "![ref][]\n\n> [ref]: https://track.test/p",
            "![[https://track.test/p]]",
            "![x](ftp://track.test/p)",
            "![x](\\\\track.test\\p)",
            "![x](https&colon;//track.test/p)",
            "![x](ht\u{200b}tps://track.test/p)",
            "![x](%68ttps%3a%2f%2ftrack.test)",
            "![x](data:image/svg+xml;base64,AAAA)",
            "```\n![x](https://track.test/p)\n```",
            "> ![x](\n> https://track.test/p)",
            "> ![ref]\n\n> [ref]:\n> https://track.test/p",
            "![x][a\\]b]\n\n[a\\]b]: https://track.test/p",
            "![x][\u{1e9e}]\n\n[SS]: https://track.test/p",
            "![ref][none]\n\n[ref]: https://track.test/p",
            "![$](a)$](https://track.test/p)",
        ],
    );
    each(
        &[],
        &[
            "![x](scan.png)",
            "![scan](data:image/png;base64,iVBORw0KGgo=)",
            "![[Invoices/2026-01 Client.pdf]]",
            "![[a.png]] and [b](https://b.test)",
            "[x](https://page.test) and https://page.test/a?b=c",
            "Done! [see here](https://page.test)",
            "wow![^1]\n\n[^1]: https://page.test",
            "[ref]: https://page.test",
            "\\!\\[x\\]\\(https://track.test\\)",
            "![x](C:\\pictures\\a.png)",
            "![Invoice, $5](a.png) and [x](https://page.test)",
            "![x][a]\n\n[b]: https://page.test",
        ],
    );
}

#[test]
fn html_that_loads_or_runs_is_found_and_other_html_is_not() {
    each(
        &[ActiveKind::Html],
        &[
            "<img src=https://track.test/p>",
            "<IMG\n alt='>'\n SRC = \"//track.test/p\"/>",
            "<img srcset=\"a.png 1x, https://track.test/p 2x\">",
            "<img src=\"&#104;ttps://track.test/p\">",
            "<img src=x onerror=alert(1)>",
            "<iframe src=page.html></iframe>",
            "<iframe srcdoc='<p>'></iframe>",
            "<script>fetch('x')</script>",
            "<style>p { color: red }</style>",
            "<link rel=stylesheet href=a.css>",
            "<object data=a.swf></object>",
            "<embed src=a.swf>",
            "<svg/onload=alert(1)>",
            "<svg><image href='https://track.test/p'/></svg>",
            "<svg><animate attributeName=href values=\"x;https://track.test\"/></svg>",
            "<video poster=\"https://track.test/p\"></video>",
            "<audio src=https://track.test/p></audio>",
            "<source src=https://track.test/p>",
            "<div style=\"background:url(a.png)\">",
            "<p style='background: u\nrl(a.png)'>",
            "<body background=https://track.test/p>",
            "<form action=https://track.test/p>",
            "<a href=\"java\tscript:alert(1)\">x</a>",
            "<a href=\"obsidian&colon;//open\">x</a>",
            "<a ping=https://track.test href=https://a.test>x</a>",
            "<meta http-equiv=refresh content='0; url=x'>",
            "<base href=https://track.test/>",
            "<use xlink:href=https://track.test/a.svg#b>",
            "<img alt=\"<b>\" src=https://track.test/p",
            "<i\u{200b}mg src=https://track.test/p>",
            "> - <img src=https://track.test/p>",
        ],
    );
    each(
        &[],
        &[
            "<b>bold</b> <br/> <details><summary>x</summary></details>",
            "<a href=\"https://page.test\">x</a>",
            "<img src=\"scan.png\" width=200>",
            "Client A <a@client.test>, <https://page.test>",
            "2 < 3 and x <y, <link>, <source>, <!-- a comment -->",
            "<svg width=1><path d='M0 0'/></svg>",
            "&lt;img src=https://track.test/p>",
            "<span style=\"color:red\">x</span>",
            "<span style='font-family: &quot;Arial&quot;; width: calc(1px + 2px)'>x</span>",
            "<?xml version='1.0' encoding='UTF-8'?><!DOCTYPE html><meta charset=utf-8>",
            "if a <b once more, x <y only z",
            "> a <b\n> and <c\n\n<o:p></o:p>",
            "$\\alpha \\href{https://page.test}{x} \\styles$",
        ],
    );
}

#[test]
fn what_a_browser_reads_as_a_tag_is_found_however_it_stands_in_a_note() {
    each(
        &[ActiveKind::Html],
        &[
            "> <img\n> src=https://track.test/p>",
            "<div>\n<img alt=a<1 src=https://track.test/p>\n</div>",
            "<div title=a<1 style=\"background:url(https://track.test/p)\">",
            "<!-- x --!>\n<img alt=x\n\nsrc=https://track.test/p>\n-->",
            "<?x>\n<img alt=x\n\nsrc=https://track.test/p>\n?>",
            "<div>\n<img alt=\"\n\n[a](src=//track.test/p)",
            "<img alt=\"\n\u{200b}\n\" src=https://track.test/p>",
            "<img \" alt=\">\" src=https://track.test/p>",
            "<img alt=\u{a0}\" src=https://track.test/p x=\">",
            "<img alt=\u{200b}\" src=https://track.test/p x=\">",
            "<img\u{c}src=https://track.test/p>",
            "<img\rsrc=https://track.test/p>",
            "<p style='background:\\75rl(a.png)'>",
            "<p style=\"background:&#117;rl(a.png)\">",
            "<rect fill='u\\72l(https://track.test/p)'/>",
            "<h:script xmlns:h='http://www.w3.org/1999/xhtml'>x</h:script>",
            "<image l:href=https://track.test/p />",
            "<animate attributeName=href values='x;javascript:x'/>",
            "<!DOCTYPE svg [<!ATTLIST image href CDATA 'x'>]>",
            "<meta charset=iso-2022-jp>",
            "<?xml version='1.0' encoding='utf-16'?>",
            "<?xml x='utf-8' encoding='iso-2022-jp'?>",
            "$\\style{background:url(https://track.test/p)}{x}$",
            "$$\\bbox[background:url(//track.test/p)]{x}$$",
            "$\\csname style\\endcsname{x}{y}$",
            "<img attributionsrc=https://track.test/p>",
            "<a href=ms-word:ofe|u|x>x</a>",
        ],
    );
}

#[test]
fn length_hides_nothing() {
    let long = |unit: &str, count: usize| unit.repeat(count);
    for text in [
        format!("<img alt=\"{}\" src=https://track.test/p>", long("a ", 2000)),
        format!("<img {}src=https://track.test/p>", long(" ", 5000)),
        format!("<{} autofocus tabindex=1 onfocus=x>", long("a", 5000)),
        format!("<!-- x --!>\n<img alt=x\n\n{}src=https://track.test/p>\n-->", long(" ", 5000)),
        format!("![x][{0}]\n\n[{0}]: https://track.test/p", long("a ", 900)),
        format!("<pre\n\n{}onclick=x>", long("\n", 20)),
        format!("![{}](https://track.test/p)", long("a", 5000)),
        format!("![x]({}https://track.test/p)", long(" ", 5000)),
        format!("![x]({}https://track.test/p)", long("&Tab;", 500)),
        format!("![[{}https://track.test/p]]", long(" ", 5000)),
        format!("`= {}`", long("1+", 5000)),
        format!("[x]({}javascript:x)", long("&shy;", 500)),
    ] {
        assert_eq!(kinds(&format!("Hello.\n\n{text}\n\nBye.\n")).len(), 1, "{}", &text[..40]);
    }
    // A release speaks of all of a piece, however long.
    for around in ["<img alt=\"@\" src=https://track.test/&>", "![@](https://track.test/&)", "![x](https://a.test/@&)"]
    {
        let release = |end: &str| {
            let text = around.replace('@', &long("a", 5000)).replace('&', end);
            find(&path("a.md"), text.as_bytes())[0].release
        };
        assert_ne!(release("one"), release("two"), "{around}");
    }
    let clean =
        format!("a <b and {} so on\n\nBye `= {}\n\n![ {}\n\nx", long("c ", 900), long("1", 900), long("d", 900));
    assert_eq!(kinds(&clean), []);
}

#[test]
fn code_of_plugins_is_found_and_other_code_is_not() {
    each(
        &[ActiveKind::Code],
        &[
            "```dataview\nLIST\n```",
            "````DataViewJS\ndv.el('p')\n```\n````",
            "> - ~~~ dataviewjs\n> x\n> ~~~",
            "```dataviewjs\nnever closed",
            "`= this.file.name`",
            "`$= dv.current()`",
            "`$=~fetch('https://track.test')`",
            "`` $=`${fetch('https://track.test')}` ``",
            "```compressed-json\nN4KAk\n```",
            "`` =1+1 ``",
            "```{dataviewjs}\nx\n```",
            "```js-engine\nx\n```",
            "Look: ```dataviewjs\nx\n```",
            "Look:\r```dataviewjs\rx\r```",
            "[^1]: ~~~dataviewjs\nx\n~~~",
            "```data&#118;iewjs\nx\n```",
            "```base\nviews:\n```",
            "```tasks\nfilter by function x\n```",
            "```mermaid\nflowchart\nA@{ img: \"https:track.test/p\" }\n```",
            "```mermaid\n%%{init: {}}%%\n```",
        ],
    );
    each(&[ActiveKind::Template], &["<% tp.file.title %>", "<%* await x %>", "```\n<% x %>\n```", "<% never closed"]);
    each(
        &[],
        &[
            "```js\nlet a = 1;\n```",
            "```mermaid\nflowchart LR\nA[Inbox] --> B{New?}\n```",
            "write ```dataview``` in a block",
            "```\ndataview\n```",
            "`a == b`, `x = 5`, `=> x`, `== y`, `$=` and `=`",
            "key:: value",
            "5 <5% of all",
            "the word dataview",
            "\\`\\= x\\`",
        ],
    );
}

#[test]
fn links_that_act_are_found_and_other_links_are_not() {
    each(
        &[ActiveKind::Link],
        &[
            "obsidian://open?vault=x",
            "[x](obsidian:open)",
            "[x](OBSIDIAN\\://open)",
            "[x](java&#115;cript:alert\\(1\\))",
            "[x](java%73cript:alert)",
            "[x]( <javascript: alert> )",
            "[x\\\\](obsidian\\:open)",
            "JavaScript:alert(1)",
            "<vbscript:x>",
            "file:///etc/passwd",
            "[[file:///etc/passwd]]",
            "data:text/html,<b>",
            "[x]: jAvA\u{200b}script:alert",
            "[invoice](ms-msdt:/id)",
            "[invoice](search-ms:query=x&crumb=location:\\\\track.test)",
            "[invoice]: ms&#45;excel:ofe|u|x",
            "<search-ms:query=x>",
            "> [x](\n> obsidian:open)",
        ],
    );
    each(
        &[],
        &[
            "file: report.pdf",
            "JavaScript: the good parts",
            "obsidian: a note program",
            "data: 5 rows",
            "data:image/png;base64,AAAA",
            "profile://x",
            "obsidian\\://open",
            "[x\\]:file\\://x",
            "mailto:a@client.test https://page.test",
            "[x](mailto:a@client.test), [y](HTTPS://page.test) and [z](tel:+4930123)",
            "<mailto:a@client.test> <https://page.test> <xs:element/>",
            "[x](C:/a.md), [10:30](a.md), [Re](Projects/Re%3A%20Invoice.md), [10:30]: call Bob",
        ],
    );
}

#[test]
fn what_the_node_quotes_in_front_matter_is_shown_as_it_is_and_nothing_else_is() {
    let subject = "![x](https://track.test/p) <img src=//x> obsidian://run `= 1`";
    let of = |front: &str| kinds(&format!("---\n{front}\n---\n\nHello\n"));
    assert_eq!(
        of(&format!("type: email\nsubject: \"{subject}\"\nto: [\"a\", \"{subject}\"]\ncc:\n  - \"{subject}\"")),
        []
    );
    assert_eq!(of("subject: \"<% tp.x %>\""), [ActiveKind::Template], "Templater reads whole files");
    assert_eq!(of("subject: <img src=//x>"), [ActiveKind::Html]);
    assert_eq!(of("note: [\nsubject: \"<img src=//x>\""), [ActiveKind::Html], "no reader agrees on this one");
    assert_eq!(of("subject: \"a\" <img src=//x>\""), [ActiveKind::Html]);
    assert_eq!(kinds("---\nsubject: \"<img src=//x>\"\n"), [ActiveKind::Html], "it never ends");
    assert_eq!(kinds("\n---\nsubject: \"<img src=//x>\"\n---\n"), [ActiveKind::Html], "it begins too late");
    for text in [
        "\u{200b}---\nx: \"@\"\n---\n",
        "---\u{200b}\nx: \"@\"\n---\n",
        "---\nx: \"@\"\n-\u{200b}--\n",
        "---\nx: \"@\"\n---\u{200b}\n",
        "---\nx: \"\r---\r\r@\"\n---\n",
        "---\nx: \"\u{2028}---\u{2028}@\"\n---\n",
        "---\rx: \"@\"\r---\r",
        "---\nx: \"@\"\n---\u{c}\n",
    ] {
        let text = text.replace('@', "![a](https://track.test/p)");
        assert_eq!(kinds(&text), [ActiveKind::Remote], "{text:?}: viewers see no front matter, or an earlier end");
    }
    let subject = "\u{2764}\u{fe0f} ![x](https://track.test/p)";
    assert_eq!(of(&format!("a: \"\u{fe0f}\"\nsubject: \"{subject}\"\nto: [\"a\", \"{subject}\"]")), []);
    let page = b"---\nx: \"<script src=https://track.test/p></script>\"\n---\n";
    assert_eq!(find(&path("a.html"), page).len(), 1, "no browser knows front matter");
    assert_eq!(find(&path("a.md"), page).len(), 0);
}

#[test]
fn a_file_that_may_be_read_as_another_text_or_loads_as_a_whole_is_one_finding() {
    for bytes in [
        &b"<meta charset=iso-2022-jp><b title='\x1b(B' x>"[..],
        b"plain \x1b$B text",
        b"a\x0eb",
        b"\xff\xfe<\0b\0",
        b"caf\xe9",
        "a\u{85}b".as_bytes(),
    ] {
        let found = find(&path("a.html"), bytes);
        assert_eq!((found.len(), found[0].kind), (1, ActiveKind::File), "{bytes:?}");
        assert_ne!(found[0].release, find(&path("a.html"), &[bytes, b"."].concat())[0].release);
    }
    for name in ["a.mhtml", "a.MHT", "a.hta", "a.svgz", "a.base", "a.url", "a.desktop"] {
        assert_eq!(find(&path(name), b"PGltZz4=").len(), 1, "{name}");
    }
    assert_eq!(find(&path("a.html"), "\u{feff}<p>caf\u{e9}\t\x0c</p>\r\n".as_bytes()), []);
}

#[test]
fn files_that_no_viewer_renders_are_left_alone_and_a_canvas_is_read() {
    let active = b"<img src=https://track.test/p>";
    for name in ["Needs_Action/email/EMAIL_1.eml", "Logs/2026-01-07.json", "a.txt"] {
        assert_eq!(find(&path(name), active), [], "{name}");
    }
    for name in ["scan.bin", "noextension", "a.drawio"] {
        assert_eq!(find(&path(name), active).len(), 1, "{name} is known by how it begins");
        assert_eq!(find(&path(name), b"PNG <img src=https://track.test/p>"), [], "{name}");
    }
    for name in ["a.MD", "Plans/a.html", "b.svg", "c.canvas"] {
        assert_eq!(find(&path(name), active).len(), 1, "{name}");
    }
    let canvas = r#"{"nodes":[{"type":"link","url":"https:\/\/track.test"},{"type":"text","text":"\u003cscript> x"}]}"#;
    let found: Vec<_> = find(&path("a.canvas"), canvas.as_bytes()).iter().map(|finding| finding.kind).collect();
    assert_eq!(found, [ActiveKind::Remote, ActiveKind::Html]);
    let canvas = r#"{"nodes":[{"text":"a\n```dataviewjs\nx\n```\n> <img\n> src=\/\/track.test>"},
        {"text":"<img alt=&quot; src=https://track.test/p>\ud83d\ude00 \ud83d <% x %>"},{"background":"https:x"}]}"#;
    let found: Vec<_> = find(&path("a.canvas"), canvas.as_bytes()).iter().map(|finding| finding.kind).collect();
    assert_eq!(found, [ActiveKind::Code, ActiveKind::Html, ActiveKind::Html, ActiveKind::Template, ActiveKind::Remote]);
    let utf16: Vec<u8> = "\u{feff}<script>x</script>".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(find(&path("a.html"), &utf16).len(), 1);
}

#[test]
fn a_finding_has_its_line_its_beginning_and_one_release_wherever_it_stands() {
    let text = "a\n\n![x](https://track.test/a-very-long-address-of-a-picture.png)\nand <% a %>\n<% a %>\n";
    let found = find(&path("a.md"), text.as_bytes());
    let told: Vec<_> = found.iter().map(|finding| (finding.line, finding.begins.as_str())).collect();
    assert_eq!(told, [(3, "![x](https://track.test/a-very-long-addr\u{2026}"), (4, "<% a %>")]);
    let elsewhere = find(&path("Done/b.md"), b"<% a %>");
    assert_eq!(elsewhere[0].release, found[1].release);
    let releases = |text: &str| find(&path("a.md"), text.as_bytes())[0].release;
    assert_ne!(releases("<script>a</script>"), releases("<script>b</script>"));
    assert_ne!(releases("![r]\n\n[r]: https://a.test"), releases("![r]\n\n[r]: https://b.test"));
    let many = "<% a %> ".repeat(10) + &(0..100).map(|n| format!("<% {n} %>")).collect::<String>();
    let found = find(&path("a.md"), many.as_bytes());
    assert_eq!((found.len(), found[0].kind), (1, ActiveKind::Many));
    assert_ne!(found[0].release, releases(&format!("{many}.")));
}

#[test]
fn at_most_one_clean_note_in_a_thousand_has_a_finding() {
    const NOTES: u64 = 10_000;
    let held: Vec<_> = (0..NOTES)
        .flat_map(|number| [notes::note(number), prose::prose(number)])
        .filter_map(|text| find(&path("Plans/a.md"), text.as_bytes()).into_iter().next())
        .collect();
    assert!(held.len() as u64 * 1000 <= 2 * NOTES, "{} held\n{held:?}", held.len());
}

#[test]
fn hostile_text_is_looked_at_and_findings_are_bounded() {
    for unit in [
        "<a ",
        "<a b=\"",
        "![",
        "![`",
        "```mermaid\n",
        "```a",
        "\u{200b}<a ",
        "> <a\n",
        "![\u{e9}]",
        "[\u{e9}]: //x\n",
        "](",
        "``",
        "`a",
        "`= ",
        "```dataview\n",
        "[a]: ",
        "<%",
        ":",
        "<a <b",
        "![a][",
    ] {
        for length in [10_000, 20_000] {
            let text: String = unit.chars().cycle().take(length).collect();
            assert!(find(&path("a.md"), text.as_bytes()).len() <= 64, "{unit}");
        }
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "([<!\\[\\](){}`~:\"'=%$\\\\ \n/-]|[a-z]|src|href|é|\u{200b}|\r|\u{c}|\\\\u|data:|&#58;|dataview){0,60}") {
        find(&path("a.md"), text.as_bytes());
        find(&path("a.canvas"), text.as_bytes());
    }
}
