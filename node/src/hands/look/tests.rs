use super::*;
use crate::hands::Hands;

const NOW: Timestamp = Timestamp::from_millis(1_767_781_800_000);

fn seen(look: &str, status: u16, body: &str) -> Seen {
    let text = format!(
        "[social]\ncarries = \"post\"\nmethod = \"POST\"\nhost = \"social.example\"\npath = \"/posts\"\nomit = [\"network\"]\n\
         json = {{ text = \"{{text}}\" }}\n{look}"
    );
    Hands::parse(&text).unwrap().get("social").unwrap().seen(status, body.as_bytes(), "Hello\n", NOW)
}

const LIST: &str = "[social.read_back]\npath = \"/me\"\nlist = \"/data\"\ntext = \"/record/text\"\n";
const TIMED: &str = "[social.read_back]\npath = \"/me\"\nlist = \"/data\"\ntext = \"/record/text\"\ntime = \"/at\"\nis_complete = true\n";
const ASK: &str = "[social.ask]\npath = \"/by/{idempotency_key}\"\nfield = \"/state\"\nis = [\"live\"]\n";

#[test]
fn a_post_is_found_by_its_whole_text() {
    let list = |texts: &[&str]| {
        let entries: Vec<_> = texts.iter().map(|text| serde_json::json!({ "record": { "text": text } })).collect();
        serde_json::json!({ "data": entries }).to_string()
    };
    assert_eq!(seen(LIST, 200, &list(&["Bye", "Hello"])), Seen::There("found among the 2 newest posts".to_owned()));
    assert_eq!(seen(LIST, 200, &list(&["Hello you", "hello", ""])), Seen::NotSeen { is_complete: false });
    assert_eq!(seen(LIST, 200, &list(&[])), Seen::NotSeen { is_complete: false });
}

#[test]
fn an_older_post_of_the_same_text_is_another_one_where_times_are_declared() {
    let at = |at: &str| serde_json::json!({ "data": [{ "at": at, "record": { "text": "Hello" } }] }).to_string();
    assert_eq!(seen(TIMED, 200, &at("2026-01-07T10:29:59Z")), Seen::NotSeen { is_complete: true });
    assert!(matches!(seen(TIMED, 200, &at("2026-01-07T11:30:00+01:00")), Seen::There(_)));
    assert_eq!(seen(TIMED, 200, &at("yesterday")), Seen::NotSeen { is_complete: true });
}

#[test]
fn an_answer_of_another_form_says_nothing() {
    for (status, body) in
        [(500, "[]"), (401, ""), (302, ""), (200, "<html>"), (200, "{}"), (200, r#"{"data":{}}"#), (200, "")]
    {
        assert!(matches!(seen(TIMED, status, body), Seen::Nothing(_)), "{status} {body}");
        assert!(matches!(seen(ASK, status, body), Seen::Nothing(_)), "{status} {body}");
    }
}

#[test]
fn a_key_is_found_by_the_word_that_was_declared() {
    assert_eq!(seen(ASK, 200, r#"{"state":"live"}"#), Seen::There("the service says live".to_owned()));
    assert_eq!(seen(ASK, 200, r#"{"state":"queued"}"#), Seen::NotSeen { is_complete: false });
    assert_eq!(seen(ASK, 404, ""), Seen::NotSeen { is_complete: false });
}
