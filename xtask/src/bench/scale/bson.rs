//! As much BSON (bsonspec.org) as it takes to ask MongoDB what it did.

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value, json};

/// Writes a document: texts, booleans, 32-bit numbers, lists and documents.
///
/// # Errors
/// Fails on other values, and on numbers beyond 32 bits.
pub(super) fn write(fields: &Map<String, Value>) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    for (name, value) in fields {
        let (kind, bytes) = element(value)?;
        body.push(kind);
        body.extend_from_slice(name.as_bytes());
        body.push(0);
        body.extend_from_slice(&bytes);
    }
    body.push(0);
    let mut document = length(body.len() + 4)?;
    document.append(&mut body);
    Ok(document)
}

fn element(value: &Value) -> Result<(u8, Vec<u8>)> {
    Ok(match value {
        Value::Bool(is_set) => (0x08, vec![u8::from(*is_set)]),
        Value::Number(number) => {
            let number = i32::try_from(number.as_i64().context("not a whole number")?)?;
            (0x10, number.to_le_bytes().to_vec())
        }
        Value::String(text) => {
            let mut bytes = length(text.len() + 1)?;
            bytes.extend_from_slice(text.as_bytes());
            bytes.push(0);
            (0x02, bytes)
        }
        Value::Object(fields) => (0x03, write(fields)?),
        Value::Array(items) => {
            let numbered = items.iter().enumerate();
            let fields = numbered.map(|(index, item)| (index.to_string(), item.clone()));
            (0x04, write(&fields.collect())?)
        }
        Value::Null => (0x0a, Vec::new()),
    })
}

fn length(bytes: usize) -> Result<Vec<u8>> {
    Ok(u32::try_from(bytes)?.to_le_bytes().to_vec())
}

/// Reads a document. What has no counterpart in JSON becomes `null`; a list becomes an object with numbers for names.
///
/// # Errors
/// Fails when it isn't one, or holds a type that no answer to our questions has.
pub(super) fn read(bytes: &[u8]) -> Result<Value> {
    let mut rest = Rest(bytes);
    rest.document()
}

/// What is left to read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn document(&mut self) -> Result<Value> {
        self.take::<4>()?;
        let mut fields = Map::new();
        loop {
            let [kind] = self.take::<1>()?;
            if kind == 0 {
                return Ok(Value::Object(fields));
            }
            let name = self.name()?;
            fields.insert(name, self.value(kind)?);
        }
    }

    fn value(&mut self, kind: u8) -> Result<Value> {
        Ok(match kind {
            0x01 => json!(f64::from_le_bytes(self.take()?)),
            0x02 => {
                let length = usize::try_from(u32::from_le_bytes(self.take()?))?;
                let text = self.bytes(length)?;
                let text = text.strip_suffix(b"\0").unwrap_or(text);
                json!(String::from_utf8_lossy(text))
            }
            0x03 | 0x04 => self.document()?,
            0x05 => {
                let length = usize::try_from(u32::from_le_bytes(self.take()?))?;
                self.bytes(length + 1)?;
                Value::Null
            }
            0x06 | 0x0a | 0x7f | 0xff => Value::Null,
            0x07 => self.skip(12)?,
            0x08 => json!(self.take::<1>()? == [1]),
            0x09 | 0x12 => json!(i64::from_le_bytes(self.take()?)),
            0x0b => {
                self.name()?;
                self.name()?;
                Value::Null
            }
            0x10 => json!(i32::from_le_bytes(self.take()?)),
            0x11 => self.skip(8)?,
            0x13 => self.skip(16)?,
            other => bail!("type {other} in an answer"),
        })
    }

    fn skip(&mut self, count: usize) -> Result<Value> {
        self.bytes(count).map(|_| Value::Null)
    }

    fn name(&mut self) -> Result<String> {
        let end = self.0.iter().position(|byte| *byte == 0);
        let name = self.bytes(end.context("a name without an end")?)?;
        self.take::<1>()?;
        Ok(String::from_utf8_lossy(name).into_owned())
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.bytes(N)?.try_into()?)
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .context("an answer that was cut off")?;
        self.0 = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{read, write};

    #[test]
    fn what_is_written_is_read_again() {
        let question = json!({ "count": "tasks", "query": { "s": 1, "x": { "$exists": true } }, "n": null });
        let Value::Object(fields) = &question else {
            panic!("an object");
        };
        assert_eq!(read(&write(fields).unwrap()).unwrap(), question);
    }

    #[test]
    fn an_answer_that_was_cut_off_is_refused() {
        let Value::Object(fields) = json!({ "text": "words" }) else {
            panic!("an object");
        };
        let whole = write(&fields).unwrap();
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{length}");
        }
    }
}
