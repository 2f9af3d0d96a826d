//! What came by another way than mail: [`crate::core::Arrival`] in words.

use aiemp_protocol::time::Timestamp;
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use crate::core::Arrival;

/// Something that came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "as crate::core::Arrival has them")]
pub struct WireArrival {
    pub source: String,
    pub id: String,
    pub kind: String,
    pub domain: String,
    pub is_private: bool,
    pub from: String,
    pub subject: String,
    /// RFC 3339.
    pub received: Option<String>,
    pub text: String,
    pub bank: Option<String>,
    /// Name, and content in base64.
    pub file: Option<(String, String)>,
}

impl WireArrival {
    /// As the core knows it.
    pub fn read(self) -> Result<Arrival, String> {
        let received = self.received.map(|time| Timestamp::parse_rfc3339(&time).ok_or(format!("`{time}` is no time")));
        let file = self.file.map(|(name, content)| {
            let bytes = BASE64.decode(content.as_bytes()).map_err(|_| "the file's content is no base64".to_owned())?;
            Ok::<_, String>((name, bytes))
        });
        Ok(Arrival {
            source: self.source,
            id: self.id,
            kind: self.kind,
            domain: self.domain,
            is_private: self.is_private,
            from: self.from,
            subject: self.subject,
            received: received.transpose()?,
            text: self.text,
            bank: self.bank,
            file: file.transpose()?,
        })
    }
}
