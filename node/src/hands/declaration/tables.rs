//! The tables below that of a hand: what an answer has to say, how to log in, and how to look for what was done.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{check_host, check_once, check_pointer, header_name, header_value, named_places, object, target};
use crate::hands::{
    connector::{AnswerCheck, Ask, Body, Carries, Headers, Login, ReadBack},
    place::Place,
};

/// What the answer of a service says that tells by its words, whatever its status.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AnswerFile {
    has: Option<String>,
    refuses: Option<String>,
}

impl AnswerFile {
    pub(super) fn answer(self) -> Result<AnswerCheck, String> {
        let Self { has, refuses } = self;
        for pointer in has.iter().chain(&refuses) {
            check_pointer(pointer)?;
            if pointer.is_empty() {
                return Err("answer: `has` and `refuses` name a place within the answer, such as \"/id\"".to_owned());
            }
        }
        if has.is_none() && refuses.is_none() {
            return Err("answer: `has` or `refuses` names a place in it".to_owned());
        }
        Ok(AnswerCheck { has, refuses })
    }
}

/// How a credential becomes the token of one request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LoginFile {
    host: Option<String>,
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    json: Option<toml::Table>,
    form: Option<BTreeMap<String, String>>,
    token: String,
}

impl LoginFile {
    pub(super) fn login(self, carries: Carries) -> Result<Login, String> {
        let Self { host, path, headers, json, form, token } = self;
        if let Some(host) = &host {
            check_host(host).map_err(|why| format!("login.{why}"))?;
        }
        check_pointer(&token)?;
        let headers = headers.iter().map(|(name, value)| Ok((header_name(name)?, header_value(name, value)?)));
        let headers: Headers = headers.collect::<Result<_, String>>().map_err(|why| format!("login.{why}"))?;
        check_once(headers.iter().map(|(name, _)| name))?;
        let body = match (json, form) {
            (Some(_), Some(_)) => return Err("login: `json` and `form` are both given".to_owned()),
            (Some(table), None) => Body::Json(object(&table, carries).map_err(|why| format!("login.{why}"))?),
            (None, Some(fields)) => {
                Body::Form(named_places(&fields, carries, true).map_err(|why| format!("login.form.{why}"))?)
            }
            (None, None) => Body::None,
        };
        let target = target(&path, &BTreeMap::new(), carries).map_err(|why| format!("login.{why}"))?;
        let places = target.places().chain(body.places()).chain(headers.iter().flat_map(|(_, places)| places));
        for place in places {
            match place {
                Place::Value { name, .. } => return Err(format!("login: `{{{name}}}` is a value of an action")),
                Place::Token => return Err("login: `${token}` is what it is made for".to_owned()),
                Place::Literal(_) | Place::Secret(_) => {}
            }
        }
        Ok(Login { host, target, headers, body, token })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadBackFile {
    path: String,
    #[serde(default)]
    query: BTreeMap<String, String>,
    #[serde(default)]
    list: String,
    text: String,
    time: Option<String>,
    #[serde(default)]
    is_complete: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AskFile {
    path: String,
    #[serde(default)]
    query: BTreeMap<String, String>,
    #[serde(default = "found")]
    found: BTreeSet<u16>,
    #[serde(default = "not_seen")]
    not_seen: BTreeSet<u16>,
    field: Option<String>,
    #[serde(default)]
    is: BTreeSet<String>,
}

fn found() -> BTreeSet<u16> {
    [200].into()
}

fn not_seen() -> BTreeSet<u16> {
    [404].into()
}

impl ReadBackFile {
    pub(super) fn read_back(self, carries: Carries) -> Result<ReadBack, String> {
        if carries != Carries::Post {
            return Err("`read_back` looks for posts; for others declare `ask`".to_owned());
        }
        let Self { path, query, list, text, time, is_complete } = self;
        for pointer in [Some(&list), Some(&text), time.as_ref()].into_iter().flatten() {
            check_pointer(pointer)?;
        }
        let target = target(&path, &query, carries).map_err(|why| format!("read_back.{why}"))?;
        Ok(ReadBack { target, list, text, time, is_complete })
    }
}

impl AskFile {
    pub(super) fn ask(self, carries: Carries) -> Result<Ask, String> {
        let Self { path, query, found, not_seen, field, is } = self;
        let target = target(&path, &query, carries).map_err(|why| format!("ask.{why}"))?;
        if !target.places().any(|place| place.value() == Some("idempotency_key")) {
            let how = "put \"{idempotency_key}\" into its path or query";
            return Err(format!("`ask` has to name the one thing that it asks for: {how}"));
        }
        if found.intersection(&not_seen).next().is_some() {
            return Err("ask: a status stands under both `found` and `not_seen`".to_owned());
        }
        let word = match (field, is.is_empty()) {
            (Some(field), false) => {
                check_pointer(&field)?;
                Some((field, is))
            }
            (None, true) => None,
            (Some(_), true) | (None, false) => {
                return Err("ask: `field` and `is` belong together: the place of a word, and the words that say done"
                    .to_owned());
            }
        };
        Ok(Ask { target, found, not_seen, word })
    }
}
