//! The tables of a declaration, as they are read.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};

use super::{HandFile, SERVERS, ServerFile};

/// The file: tables of hands, and `mcp` with tables of servers.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) hands: BTreeMap<String, HandFile>,
    pub(super) servers: BTreeMap<String, ServerFile>,
}

// Table by table, so that an error shows its line.
impl<'de> Deserialize<'de> for File {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tables;
        impl<'de> Visitor<'de> for Tables {
            type Value = File;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("tables of hands")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut tables: A) -> Result<File, A::Error> {
                let mut file = File::default();
                while let Some(name) = tables.next_key::<String>()? {
                    if name == SERVERS {
                        file.servers = tables.next_value()?;
                    } else {
                        file.hands.insert(name, tables.next_value()?);
                    }
                }
                Ok(file)
            }
        }
        deserializer.deserialize_map(Tables)
    }
}
