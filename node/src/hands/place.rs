//! Places of a declaration that an action fills, and the values that it fills them with.

use std::collections::{BTreeMap, BTreeSet};

use aiemp_protocol::action::{self, Action, Content};

/// Names that are no value of an action, and may stand in any place.
pub(super) const OWN: [&str; 2] = ["idempotency_key", "approved_at"];
/// What a payment consists of; `amount_minor` is another way to write `amount`.
const PAYMENT: [&str; 5] = ["payee", "account", "amount", "currency", "reference"];
const POST: [&str; 2] = ["network", "text"];
/// The prefix of a call's own parameters.
const PARAM: &str = "param.";

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As it is.
    Plain,
    /// As a JSON number.
    Integer,
    /// With a backslash before each sign that the hand escapes.
    Escaped,
}

/// Something that stands in a path, a query or a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Itself.
    Literal(String),
    /// A value of the action.
    Value {
        /// Its name.
        name: String,
        /// How it is written.
        form: Form,
    },
    /// A credential.
    Secret(String),
    /// What a login gives, in a header.
    Token,
}

/// Which kind of action a connector carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Carries {
    /// Calls, by the connector's name.
    Http,
    /// Posts, by `hand`.
    Post,
    /// Payments, by `hand`.
    Payment,
}

impl Carries {
    /// Values that each action of the kind has; those of a call are its own.
    pub(super) const fn values(self) -> &'static [&'static str] {
        match self {
            Self::Http => &[],
            Self::Post => &POST,
            Self::Payment => &PAYMENT,
        }
    }

    /// Values that have to reach the service, for without them something else would be done than was shown.
    pub(super) const fn indispensable(self) -> &'static [&'static str] {
        match self {
            Self::Http => &[],
            Self::Post => &["text"],
            Self::Payment => &["account", "amount"],
        }
    }

    pub(super) fn is_value(self, name: &str) -> bool {
        let is_param = || name.strip_prefix(PARAM).is_some_and(|name| !name.is_empty());
        let of_kind = match self {
            Self::Http => is_param(),
            Self::Post => POST.contains(&name),
            Self::Payment => PAYMENT.contains(&name) || name == "amount_minor",
        };
        of_kind || OWN.contains(&name)
    }
}

impl Place {
    /// Reads `literal`, `{name}`, `{name:integer}`, `{name:escaped}` or `${secret:NAME}`.
    pub(super) fn parse(text: &str, carries: Carries) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix("${secret:").and_then(|rest| rest.strip_suffix('}')) {
            return secret_name(name).map(|name| Self::Secret(name.to_owned()));
        }
        let Some(inner) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            if text.contains(['{', '}']) {
                return Err(format!("`{text}`: a value fills the whole place, as in \"{{text}}\""));
            }
            return Ok(Self::Literal(text.to_owned()));
        };
        let (name, form) = match inner.rsplit_once(':') {
            Some((name, "integer")) => (name, Form::Integer),
            Some((name, "escaped")) => (name, Form::Escaped),
            Some(_) | None => (inner, Form::Plain),
        };
        if !carries.is_value(name) {
            let known: Vec<_> = carries.values().iter().chain(&OWN).copied().collect();
            let known =
                if carries == Carries::Http { format!("param.NAME, {}", known.join(", ")) } else { known.join(", ") };
            return Err(format!("`{{{name}}}` is no value here; there are {known}"));
        }
        Ok(Self::Value { name: name.to_owned(), form })
    }

    /// The value's name, if it is one.
    pub(super) fn value(&self) -> Option<&str> {
        match self {
            Self::Value { name, .. } => Some(name),
            Self::Literal(_) | Self::Secret(_) | Self::Token => None,
        }
    }
}

/// A name as `secrets add` takes it.
pub(super) fn secret_name(name: &str) -> Result<&str, String> {
    let is_name = (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if is_name { Ok(name) } else { Err(format!("{name:?} is no name for a secret")) }
}

/// The two ways to write an amount are one value.
pub(super) fn canonical(name: &str) -> &str {
    if name == "amount_minor" { "amount" } else { name }
}

/// Every value of an action, by the name that a place has for it.
pub(super) fn values_of(action: &Action) -> Option<(Carries, BTreeMap<String, String>)> {
    let owned =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Some(match &action.content {
        Content::Http(http) => {
            let params = http.params.iter().map(|(name, value)| (format!("{PARAM}{name}"), value.clone()));
            (Carries::Http, params.collect())
        }
        Content::Post(post) => (Carries::Post, owned(&[("network", &post.network), ("text", &post.text)])),
        Content::Payment(payment) => {
            let shown = action::amount(payment.amount_minor, &payment.currency);
            let amount = shown.split(' ').next().unwrap_or_default();
            let minor = payment.amount_minor.to_string();
            let values = owned(&[
                ("payee", &payment.payee),
                ("account", &payment.account),
                ("amount", amount),
                ("amount_minor", &minor),
                ("currency", &payment.currency),
                ("reference", &payment.reference),
            ]);
            (Carries::Payment, values)
        }
        Content::Email(_) | Content::Tool(_) | Content::A2a(_) => return None,
    })
}

/// Values of an action that have no place among those used.
pub(super) fn without_place<'a>(values: impl Iterator<Item = &'a str>, used: &BTreeSet<String>) -> Vec<String> {
    let missing: BTreeSet<_> = values.map(canonical).filter(|name| !used.contains(*name)).map(str::to_owned).collect();
    missing.into_iter().collect()
}
