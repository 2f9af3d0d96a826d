//! Links between the documents: each names a file that is there, and a heading in it.

use std::path::{Component, Path, PathBuf};

use super::{Finding, Source, assert_tidy, root, snippet, source};

/// The relative targets of the links in a Markdown text, each with its line; code is left out.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in lines_outside_fences(text) {
        let line = without_code_spans(line);
        let inline = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
        let reference = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map(|(_, target)| target.trim());
        for target in inline.chain(reference) {
            let outside = target.contains("://") || target.starts_with("mailto:") || target.is_empty();
            if !outside {
                found.push((number, target.trim_matches(['<', '>']).to_owned()));
            }
        }
    }
    found
}

/// The lines that are not in a fenced block, each with its number.
fn lines_outside_fences(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fence: Option<&str> = None;
    text.lines().enumerate().filter_map(move |(at, line)| {
        let mark = ["```", "~~~"].into_iter().find(|mark| line.trim_start().starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (None, None) => return Some((at + 1, line)),
            (Some(_), _) => {}
        }
        None
    })
}

fn without_code_spans(line: &str) -> String {
    let parts: Vec<&str> = line.split('`').collect();
    let closed = parts.len() - usize::from(parts.len().is_multiple_of(2));
    let kept = parts.iter().enumerate().filter(|(at, _)| at % 2 == 0 || *at >= closed).map(|(_, part)| *part);
    kept.collect::<Vec<_>>().join("")
}

/// The anchors that the headings of a Markdown text make: lower case, punctuation dropped, spaces to dashes.
fn anchors(text: &str) -> Vec<String> {
    let headings = lines_outside_fences(text)
        .filter_map(|(_, line)| line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')));
    let slug = |heading: &str| -> String {
        let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || ['-', '_', ' '].contains(c));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    headings.map(slug).collect()
}

/// Joins a link to the folder of the file that holds it, without asking the disk.
fn resolve(file: &str, target: &str) -> PathBuf {
    let mut path = Path::new(file).parent().map(Path::to_path_buf).unwrap_or_default();
    for part in Path::new(target).components() {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            Component::Normal(name) => path.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    path
}

/// Judges the links of one document; `read` gives the text at a path, empty for a folder, none if nothing is there.
fn link_findings(file: &Source, read: impl Fn(&Path) -> Option<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, target) in targets(&file.text) {
        let (path, anchor) = target.split_once('#').map_or((target.as_str(), None), |(path, a)| (path, Some(a)));
        let text = if path.is_empty() { Some(file.text.clone()) } else { read(&resolve(&file.path, path)) };
        let Some(text) = text else {
            let rule = format!("the link to `{target}` leads nowhere");
            findings.push(Finding::new(&file.path, line, rule, "correct the path, or write what it should lead to"));
            continue;
        };
        let markdown = path.is_empty() || path.ends_with(".md");
        if let Some(anchor) = anchor.filter(|anchor| markdown && !anchors(&text).iter().any(|a| a == anchor)) {
            let rule = format!("no heading gives the anchor `#{anchor}`");
            findings.push(Finding::new(&file.path, line, rule, "name a heading that is there"));
        }
    }
    findings
}

#[test]
fn every_relative_link_resolves() {
    let read = |path: &Path| {
        let path = root().join(path);
        path.exists().then(|| std::fs::read_to_string(path).unwrap_or_default())
    };
    let files = source::text_files(&root());
    let documents = files.iter().filter(|file| file.path.ends_with(".md"));
    assert_tidy(documents.flat_map(|file| link_findings(file, read)).collect());
}

#[test]
fn a_broken_link_and_a_broken_anchor_are_found() {
    let read = |path: &Path| (path == Path::new("docs/wire.md")).then(|| "# Wire\n\n## Frames & bounds\n".to_owned());
    let lines = |text: &str| -> Vec<usize> {
        link_findings(&snippet("docs/a.md", text), read).iter().map(|finding| finding.line).collect()
    };
    const NONE: [usize; 0] = [];
    assert_eq!(lines("[a](wire.md)\n[b](../docs/wire.md#frames--bounds) [c](https://example.org/x)\n"), NONE);
    assert_eq!(lines("x\n[a](gone.md) and [b](wire.md)\n"), [2]);
    assert_eq!(lines("[a](wire.md#gone)\n"), [1]);
    assert_eq!(lines("# Here\n[a](#here) [b](#there)\n"), [2]);
    assert_eq!(lines("[a]: gone.md\n"), [1]);
    assert_eq!(lines("`[a](gone.md)`\n```\n[a](gone.md)\n```\n"), NONE);
}
