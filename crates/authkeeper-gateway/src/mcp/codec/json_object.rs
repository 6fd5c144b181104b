//! A JSON object whose members can be exchanged one by one; what is not touched keeps its spelling.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

/// Members in the order they came in.
#[derive(Debug, Clone, Default)]
pub(in crate::mcp) struct Object(Vec<(String, Box<RawValue>)>);

impl Object {
    /// `None` if the text is no JSON object.
    pub(in crate::mcp) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The object in a member, if it is one.
    pub(in crate::mcp) fn object(&self, name: &str) -> Option<Self> {
        self.get(name).and_then(|raw| Self::parse(raw.get()))
    }

    pub(in crate::mcp) fn get(&self, name: &str) -> Option<&RawValue> {
        let found = self.0.iter().find(|(member, _)| member == name);
        found.map(|(_, value)| &**value)
    }

    /// The text in a member, if it is one.
    pub(in crate::mcp) fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.get(name)?.get()).ok()
    }

    pub(in crate::mcp) fn set(&mut self, name: &str, value: &impl Serialize) {
        let value = raw(value);
        match self.0.iter_mut().find(|(member, _)| member == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// As [`Self::set`], unless there is such a member already.
    pub(in crate::mcp) fn set_default(&mut self, name: &str, value: &impl Serialize) {
        if self.get(name).is_none() {
            self.set(name, value);
        }
    }

    pub(in crate::mcp) fn with(mut self, name: &str, value: &impl Serialize) -> Self {
        self.set(name, value);
        self
    }

    pub(in crate::mcp) fn remove(&mut self, name: &str) -> Option<Box<RawValue>> {
        let at = self.0.iter().position(|(member, _)| member == name)?;
        Some(self.0.remove(at).1)
    }

    pub(in crate::mcp) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(in crate::mcp) fn members(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), &**value))
    }
}

impl fmt::Display for Object {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(raw(self).get())
    }
}

/// Anything as JSON text. What this module is given can always be written.
pub(in crate::mcp) fn raw(value: &impl Serialize) -> Box<RawValue> {
    to_raw_value(value).unwrap_or_else(|_never| RawValue::NULL.to_owned())
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_touched_keeps_its_spelling_and_its_place() {
        let mut object =
            Object::parse(r#"{"z":1.0, "a":12345678901234567890123, "m":{"x" : "\u0061"}}"#)
                .unwrap();
        object.set("a", &"new");
        object.set("n", &7);
        assert!(object.remove("z").is_some());
        assert_eq!(
            object.to_string(),
            r#"{"a":"new","m":{"x" : "\u0061"},"n":7}"#
        );
        assert!(Object::parse("[1]").is_none());
    }
}
