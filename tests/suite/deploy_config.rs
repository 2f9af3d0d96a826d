//! The example configurations under `deploy/config/`: the node takes them as they stand, and every key they show.

use aiemp_node::config::Config;

use crate::deploy::read;

const EXAMPLES: [&str; 2] = ["deploy/config/cloud.toml", "deploy/config/local.toml"];

/// Puts to work the settings that an example shows in a comment: `# key = value`, `# [table]`, `# [[table]]`.
fn with_every_key(example: &str) -> String {
    let live = |line: &str| {
        let is_key = |key: &str| key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.".contains(c));
        let setting = line.strip_prefix("# ").filter(|rest| {
            let table = |open, close| rest.strip_prefix(open).and_then(|rest: &str| rest.strip_suffix(close));
            table("[[", "]]").or(table("[", "]")).or(rest.split_once(" = ").map(|(key, _)| key)).is_some_and(is_key)
        });
        format!("{}\n", setting.unwrap_or(line))
    };
    example.lines().map(live).collect()
}

fn assert_parses(path: &str, text: &str) {
    if let Err(error) = Config::parse(text) {
        panic!("{path}: {error}\n{text}");
    }
}

#[test]
fn the_examples_are_taken_as_they_stand() {
    for path in EXAMPLES {
        assert_parses(path, &read(path));
    }
}

#[test]
fn every_key_that_an_example_shows_is_known() {
    for path in EXAMPLES {
        let text = with_every_key(&read(path));
        assert!(text.contains("\ncommand = ["), "{path} shows no command");
        assert_parses(path, &text);
    }
}

#[test]
fn an_unknown_key_in_any_table_of_an_example_is_refused() {
    for path in EXAMPLES {
        let example = read(path);
        assert!(Config::parse(&format!("valut = \"x\"\n{example}")).is_err(), "{path}: at the top");
        for table in example.lines().filter(|line| line.starts_with('[')) {
            let broken = example.replace(table, &format!("{table}\nkidn = 1"));
            assert!(Config::parse(&broken).is_err(), "{path}: in {table}");
        }
    }
}
