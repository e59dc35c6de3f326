//! Owns a schema that is ready to judge, whatever its language.

use std::fmt;
use std::str::FromStr;

use crate::{Error, avro, compatibility, json};

/// Language of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// JSON Schema, of the draft that it names, else 2020-12.
    Json,
    /// Avro 1.11.
    Avro,
}

/// A schema that is ready to judge.
pub struct Schema {
    text: String,
    form: Form,
}

enum Form {
    Json(Box<json::Judge>),
    Avro(Box<apache_avro::Schema>),
}

impl Schema {
    /// Reads a schema. References to other documents are not followed.
    ///
    /// # Errors
    ///
    /// When the text is no schema of that language.
    pub fn new(kind: Kind, text: &str) -> Result<Self, Error> {
        let form = match kind {
            Kind::Json => Form::Json(Box::new(json::Judge::new(text)?)),
            Kind::Avro => Form::Avro(Box::new(avro::schema(text)?)),
        };
        Ok(Self { text: text.to_owned(), form })
    }

    /// Its language.
    pub fn kind(&self) -> Kind {
        match self.form {
            Form::Json(_) => Kind::Json,
            Form::Avro(_) => Kind::Avro,
        }
    }

    /// The text it was read from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What somebody reads of a payload that `writer`, or else this schema, wrote: `None` where it
    /// is the payload itself, and JSON where that is Avro.
    ///
    /// # Errors
    ///
    /// Everything wrong with the payload, each as `/place: what`.
    pub fn read(
        &self,
        payload: &[u8],
        writer: Option<&Self>,
    ) -> Result<Option<Vec<u8>>, Vec<String>> {
        match (&self.form, writer.map(|writer| &writer.form)) {
            (Form::Json(judge), _) => judge.check(payload).map(|()| None),
            (Form::Avro(reader), Some(Form::Avro(writer))) => {
                avro::read(payload, writer, Some(reader)).map(Some)
            }
            (Form::Avro(own), None) => avro::read(payload, own, None).map(Some),
            (Form::Avro(_), Some(Form::Json(_))) => {
                Err(vec!["its schema in the registry is JSON Schema, not Avro".to_owned()])
            }
        }
    }

    /// What is published of JSON: `None` where it is the JSON itself, and Avro where the schema is.
    ///
    /// # Errors
    ///
    /// Everything wrong with the JSON, each as `/place: what`.
    pub fn write(&self, payload: &[u8]) -> Result<Option<Vec<u8>>, Vec<String>> {
        match &self.form {
            Form::Json(judge) => judge.check(payload).map(|()| None),
            Form::Avro(schema) => avro::write(payload, schema).map(Some),
        }
    }

    /// Why it cannot read everything that `writer` allows, as far as that can be told; nothing
    /// where it can.
    pub fn refusals(&self, writer: &Self) -> Vec<String> {
        match (&self.form, &writer.form) {
            (Form::Json(reader), Form::Json(writer)) => {
                compatibility::refusals(reader.document(), writer.document())
            }
            (Form::Avro(reader), Form::Avro(writer)) => avro::refusals(reader, writer),
            (Form::Json(_), Form::Avro(_)) | (Form::Avro(_), Form::Json(_)) => {
                vec!["one is JSON Schema and the other Avro".to_owned()]
            }
        }
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Schema").field("kind", &self.kind()).finish_non_exhaustive()
    }
}

impl Kind {
    /// As a registry names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Avro => "AVRO",
        }
    }
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        [Self::Json, Self::Avro].into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            Error(format!("schemas of type {name} are not known, JSON and AVRO are"))
        })
    }
}
