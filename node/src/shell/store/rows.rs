//! Rows that carry a digest of all that they say, for SQLite itself does not notice a flipped bit in a value.

use aiemp_keys::{Hash, cbor};
use rusqlite::{Connection, Row, params_from_iter, types::Value};

use super::error::{Damage, StoreError};

/// Label of the digest that stands in each row.
const ROW_LABEL: &str = "aiemp-node 2026 store row";

/// A table whose rows have a digest over these columns.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [&'static str],
}

pub(super) const ENTRIES: Table =
    Table { name: "entries", columns: &["log", "seq", "hash", "cose", "payload_hashes", "received"] };
/// Its bytes have the hash that the row names.
pub(super) const PAYLOADS: Table = Table { name: "payloads", columns: &["hash", "shared", "change"] };
pub(super) const MISSING: Table = Table { name: "missing", columns: &["hash", "length", "shared", "change"] };
pub(super) const FROZEN: Table = Table { name: "frozen", columns: &["log", "reason", "evidence"] };
pub(super) const PROJECTIONS: Table =
    Table { name: "projections", columns: &["key", "path", "file", "hash", "heads", "merged_changes", "base"] };
pub(super) const QUEUE: Table = Table { name: "queue", columns: &["peer", "id", "bytes", "created", "expires"] };
pub(super) const META: Table = Table { name: "meta", columns: &["key", "value"] };
/// Places of logs whose entry was damaged and is asked of the peers.
pub(super) const LOST: Table = Table { name: "lost", columns: &["log", "seq"] };

impl Table {
    /// What the row's digest has to be.
    pub(super) fn digest(&self, values: &[Value]) -> Hash {
        let column = |value: &Value| match value {
            Value::Integer(number) => cbor::Value::Integer((*number).into()),
            Value::Text(text) => cbor::text(text),
            Value::Blob(bytes) => cbor::bytes(bytes),
            // No column holds fractions.
            Value::Null | Value::Real(_) => cbor::Value::Null,
        };
        Hash::labelled(ROW_LABEL, [cbor::text(self.name)].into_iter().chain(values.iter().map(column)))
    }

    /// Writes a row in the place of whichever has its key.
    pub(super) fn put(&self, connection: &Connection, values: Vec<Value>) -> Result<(), StoreError> {
        self.insert(connection, "INSERT OR REPLACE", values).map(|_| ())
    }

    /// Writes a row unless there is one of its key; whether there was none.
    pub(super) fn add(&self, connection: &Connection, values: Vec<Value>) -> Result<bool, StoreError> {
        self.insert(connection, "INSERT OR IGNORE", values).map(|rows| rows > 0)
    }

    fn insert(&self, connection: &Connection, how: &str, mut values: Vec<Value>) -> Result<usize, StoreError> {
        values.push(blob(self.digest(&values).as_bytes()));
        let places: Vec<_> = (1..=values.len()).map(|number| format!("?{number}")).collect();
        let (name, columns, places) = (self.name, self.columns.join(", "), places.join(", "));
        let sql = format!("{how} INTO {name} ({columns}, digest) VALUES ({places})");
        Ok(connection.prepare_cached(&sql)?.execute(params_from_iter(values))?)
    }

    /// The question for rows; their columns come first, then the digest, then whatever `more` names.
    pub(super) fn select(&self, more: &str, rest: &str) -> String {
        format!("SELECT {}, digest{more} FROM {} {rest}", self.columns.join(", "), self.name)
    }

    /// The columns of a row that is what was written.
    pub(super) fn read(&self, row: &Row<'_>) -> Result<Vec<Value>, StoreError> {
        let values = (0..self.columns.len()).map(|index| row.get(index)).collect::<Result<Vec<Value>, _>>()?;
        let digest: Value = row.get(self.columns.len())?;
        if digest == blob(self.digest(&values).as_bytes()) { Ok(values) } else { Err(Damage::Row(self.name).into()) }
    }

    /// Reads every row that `rest` asks for.
    pub(super) fn each<T>(
        &self,
        connection: &Connection,
        rest: &str,
        parameters: &[&dyn rusqlite::ToSql],
        mut read: impl FnMut(Columns) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = connection.prepare_cached(&self.select("", rest))?;
        let mut rows = statement.query(parameters)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(read(self.columns_of(row)?)?);
        }
        Ok(found)
    }

    /// Whether each row is found by its key, for SQLite goes by whatever its index says.
    pub(super) fn check_index(&self, connection: &Connection) -> Result<(), StoreError> {
        let found: String =
            connection.query_row(&format!("PRAGMA integrity_check({})", self.name), [], |row| row.get(0))?;
        if found == "ok" { Ok(()) } else { Err(Damage::Rows(self.name).into()) }
    }

    /// The columns of a row that is what was written, one by one.
    pub(super) fn columns_of(&self, row: &Row<'_>) -> Result<Columns, StoreError> {
        Ok(Columns { table: self.name, values: self.read(row)?.into_iter() })
    }
}

pub(super) fn blob(bytes: &[u8]) -> Value {
    Value::Blob(bytes.to_vec())
}

/// Columns of a row in their order.
#[derive(Debug)]
pub(super) struct Columns {
    table: &'static str,
    values: std::vec::IntoIter<Value>,
}

impl Columns {
    /// What is said of a value that nobody wrote.
    pub(super) const fn damage(&self) -> Damage {
        Damage::Row(self.table)
    }

    pub(super) fn blob(&mut self) -> Result<Vec<u8>, StoreError> {
        if let Some(Value::Blob(bytes)) = self.values.next() { Ok(bytes) } else { Err(self.damage().into()) }
    }

    pub(super) fn text(&mut self) -> Result<String, StoreError> {
        if let Some(Value::Text(text)) = self.values.next() { Ok(text) } else { Err(self.damage().into()) }
    }

    pub(super) fn number(&mut self) -> Result<u64, StoreError> {
        self.number_or_none()?.ok_or_else(|| self.damage().into())
    }

    pub(super) fn number_or_none(&mut self) -> Result<Option<u64>, StoreError> {
        match self.values.next() {
            Some(Value::Integer(number)) => Ok(Some(number.unsigned_abs())),
            Some(Value::Null) => Ok(None),
            Some(Value::Real(_) | Value::Text(_) | Value::Blob(_)) | None => Err(self.damage().into()),
        }
    }

    pub(super) fn flag(&mut self) -> Result<bool, StoreError> {
        Ok(self.number()? > 0)
    }

    pub(super) fn hash(&mut self) -> Result<Hash, StoreError> {
        let bytes: [u8; 32] = self.blob()?.try_into().map_err(|_| self.damage())?;
        Ok(Hash::from_bytes(bytes))
    }
}
