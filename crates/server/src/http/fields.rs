//! Reads a JSON tree field by field and collects every fault, so that a client learns all of them at once.
//!
//! A reader is a function from a [`Field`] to an `Option`: `None` means that the fault was noted. What
//! was wrong is never lost and never stops the reading of the next field.

use super::{
    fault::Fault,
    json::{Member, Node},
};
use app::failure::Detail;
use std::{collections::BTreeMap, ops::RangeInclusive};

/// Reads a whole document, which has to be an object. The faults, among them those that were known
/// before, come sorted by their pointer.
///
/// An empty list of faults means that the reader gave up without a reason, which is a fault of ours.
pub fn read<T>(
    document: &Node<'_>,
    known: Vec<Detail>,
    reader: impl FnOnce(&mut Fields<'_>) -> Option<T>,
) -> Result<T, Vec<Detail>> {
    let mut report = Report { at: String::new(), faults: known };
    let value = Field { node: document, report: &mut report }.object(reader);
    report.faults.sort_by(|a, b| (&a.field, a.code).cmp(&(&b.field, b.code)));
    match value {
        Some(value) if report.faults.is_empty() => Ok(value),
        _ => Err(report.faults),
    }
}

/// The faults so far, and where the reading stands.
struct Report {
    /// JSON pointer (RFC 6901) to what is being read.
    at: String,
    faults: Vec<Detail>,
}

impl Report {
    fn note(&mut self, fault: Fault) {
        self.faults.push(fault.at(self.at.clone()));
    }

    /// Does something one level down.
    fn within<V>(&mut self, token: &str, inner: impl FnOnce(&mut Self) -> V) -> V {
        let length = self.at.len();
        self.at.push('/');
        self.at.push_str(&token.replace('~', "~0").replace('/', "~1"));
        let value = inner(self);
        self.at.truncate(length);
        value
    }
}

/// A number, as far as a whole amount is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// A whole number that fits.
    Whole(i64),
    /// A whole number below what 64 bits hold.
    TooSmall,
    /// A whole number above what 64 bits hold.
    TooLarge,
    /// Written with a fraction or an exponent, whatever it comes to: `1.0` is one too.
    Fraction,
}

impl Number {
    fn of(literal: &str) -> Self {
        if literal.contains(['.', 'e', 'E']) {
            return Self::Fraction;
        }
        match literal.parse() {
            Ok(value) => Self::Whole(value),
            Err(_) if literal.starts_with('-') => Self::TooSmall,
            Err(_) => Self::TooLarge,
        }
    }
}

/// One value of the document, and where it lies.
pub struct Field<'v> {
    node: &'v Node<'v>,
    report: &'v mut Report,
}

impl Field<'_> {
    /// Notes a fault here.
    pub fn refuse<V>(self, fault: Fault) -> Option<V> {
        self.report.note(fault);
        None
    }

    /// A string that `parse` understands.
    pub fn text_with<V>(self, parse: impl FnOnce(&str) -> Result<V, Fault>) -> Option<V> {
        match self.node {
            // PostgreSQL cannot store this character, and nobody sends it with good intentions.
            Node::Text(text) if text.contains('\0') => {
                self.refuse(Fault::invalid_format("This must not contain the character U+0000."))
            }
            Node::Text(text) => match parse(text) {
                Ok(value) => Some(value),
                Err(fault) => self.refuse(fault),
            },
            _ => self.wrong_type("a string"),
        }
    }

    /// A string of so many characters.
    pub fn text(self, length: RangeInclusive<usize>) -> Option<String> {
        self.text_with(|text| {
            if length.contains(&text.chars().count()) {
                return Ok(text.to_owned());
            }
            let (least, most) = (length.start(), length.end());
            Err(Fault::out_of_range(format!("This must have {least} to {most} characters.")))
        })
    }

    /// One of a few words.
    pub fn one_of<V: Copy>(self, words: &[(&str, V)]) -> Option<V> {
        self.text_with(|text| {
            let known = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
            known.ok_or_else(|| {
                let words: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
                Fault::invalid_format(format!("This must be one of {}.", words.join(", ")))
            })
        })
    }

    /// A number that `read` understands.
    pub fn number_with<V>(self, read: impl FnOnce(Number) -> Result<V, Fault>) -> Option<V> {
        let Node::Number(literal) = self.node else { return self.wrong_type("a number") };
        match read(Number::of(literal)) {
            Ok(value) => Some(value),
            Err(fault) => self.refuse(fault),
        }
    }

    /// A whole number within bounds.
    pub fn whole_number(self, bounds: RangeInclusive<i64>) -> Option<i64> {
        self.number_with(|number| match number {
            Number::Whole(value) if bounds.contains(&value) => Ok(value),
            Number::Whole(_) | Number::TooSmall | Number::TooLarge => {
                let (least, most) = (bounds.start(), bounds.end());
                Err(Fault::out_of_range(format!("This must be {least} to {most}.")))
            }
            Number::Fraction => Err(Fault::wrong_type("a whole number", "a number with a fraction or an exponent")),
        })
    }

    /// What `reader` reads; nothing, if it is an explicit `null`.
    pub fn or_null<V>(self, reader: impl FnOnce(Self) -> Option<V>) -> Option<Option<V>> {
        if matches!(self.node, Node::Null) { Some(None) } else { reader(self).map(Some) }
    }

    /// `true` or `false`.
    pub fn boolean(self) -> Option<bool> {
        match self.node {
            Node::Bool(value) => Some(*value),
            _ => self.wrong_type("true or false"),
        }
    }

    /// A list of so many elements. Every element is read, also after a faulty one.
    pub fn list<V>(
        self,
        length: RangeInclusive<usize>,
        mut each: impl FnMut(Field<'_>) -> Option<V>,
    ) -> Option<Vec<V>> {
        let Node::List(elements) = self.node else { return self.wrong_type("a list") };
        if !length.contains(&elements.len()) {
            let (least, most) = (length.start(), length.end());
            return self.refuse(Fault::out_of_range(format!("This must have {least} to {most} elements.")));
        }
        let read: Vec<_> = elements
            .iter()
            .enumerate()
            .map(|(at, node)| self.report.within(&at.to_string(), |report| each(Field { node, report })))
            .collect();
        read.into_iter().collect()
    }

    /// An object. When the reader is done, the names it did not ask for are faults.
    pub fn object<V>(self, reader: impl FnOnce(&mut Fields<'_>) -> Option<V>) -> Option<V> {
        let Node::Object(members) = self.node else { return self.wrong_type("an object") };
        let mut fields = Fields { members, known: Vec::new(), rest_accepted: false, report: self.report };
        let value = reader(&mut fields);
        fields.finish();
        value
    }

    /// An object of strings under names that nobody knows here, at most so many and so long.
    pub fn texts(self, count_max: usize, length_max: usize) -> Option<BTreeMap<String, String>> {
        let Node::Object(members) = self.node else { return self.wrong_type("an object") };
        if members.len() > count_max {
            return self.refuse(Fault::out_of_range(format!("This must have at most {count_max} fields.")));
        }
        let mut texts = BTreeMap::new();
        let mut whole = true;
        for (name, node) in members {
            let text = self.report.within(name, |report| {
                if texts.contains_key(name.as_ref()) {
                    return Field { node, report }.refuse(Fault::new("duplicate_key", "This was sent more than once."));
                }
                if name.contains('\0') {
                    return Field { node, report }.refuse(Fault::invalid_format("A name must not contain U+0000."));
                }
                Field { node, report }.text(0..=length_max)
            });
            match text {
                Some(text) => drop(texts.insert(name.to_string(), text)),
                None => whole = false,
            }
        }
        whole.then_some(texts)
    }

    fn wrong_type<V>(self, wanted: &str) -> Option<V> {
        let found = match self.node {
            Node::Null => "null",
            Node::Bool(_) => "true or false",
            Node::Number(_) => "a number",
            Node::Text(_) => "a string",
            Node::List(_) => "a list",
            Node::Object(_) => "an object",
        };
        self.refuse(Fault::wrong_type(wanted, found))
    }
}

/// The members of one object.
pub struct Fields<'v> {
    members: &'v [Member<'v>],
    known: Vec<&'static str>,
    rest_accepted: bool,
    report: &'v mut Report,
}

impl Fields<'_> {
    /// A field that has to be there.
    pub fn required<V>(&mut self, name: &'static str, reader: impl FnOnce(Field<'_>) -> Option<V>) -> Option<V> {
        let value = self.optional(name, reader)?;
        if value.is_none() {
            self.refuse_at(name, Fault::required());
        }
        value
    }

    /// A field that may be left out: then the answer is `Some(None)`. An explicit `null` is not the same.
    pub fn optional<V>(
        &mut self,
        name: &'static str,
        reader: impl FnOnce(Field<'_>) -> Option<V>,
    ) -> Option<Option<V>> {
        self.known.push(name);
        let mut found = self.members.iter().filter(|(key, _)| key == name).map(|(_, node)| node);
        match (found.next(), found.next()) {
            (None, _) => Some(None),
            (Some(node), None) => self.report.within(name, |report| reader(Field { node, report })).map(Some),
            // Which of the two was meant is not ours to guess; `finish` notes the fault.
            (Some(_), Some(_)) => None,
        }
    }

    /// Whether a field was sent, whatever its value.
    pub fn has(&self, name: &str) -> bool {
        self.members.iter().any(|(key, _)| key == name)
    }

    /// Takes every other name as known: nobody can tell, for the field that says what kind of object it is is at fault.
    pub fn accept_rest(&mut self) {
        self.rest_accepted = true;
    }

    /// Notes a fault of the object as a whole, such as two fields that contradict each other.
    pub fn refuse(&mut self, fault: Fault) {
        self.report.note(fault);
    }

    /// Notes a fault of one field that only shows beside the others.
    pub fn refuse_at(&mut self, name: &str, fault: Fault) {
        self.report.within(name, |report| report.note(fault));
    }

    fn finish(self) {
        let mut count: BTreeMap<&str, usize> = BTreeMap::new();
        for (key, _) in self.members {
            *count.entry(key).or_default() += 1;
        }
        for (name, times) in count {
            let fault = if !self.rest_accepted && !self.known.contains(&name) {
                Fault::new("unknown_field", format!("There is no such field here; there is {}.", self.known.join(", ")))
            } else if times > 1 {
                Fault::new("duplicate_key", format!("This was sent {times} times."))
            } else {
                continue;
            };
            self.report.within(name, |report| report.note(fault));
        }
    }
}

#[cfg(test)]
mod tests;
