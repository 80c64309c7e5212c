//! JSON text to a tree that forgets nothing.
//!
//! An ordinary decoder keeps the last of two equal keys and turns `1e400`, `1.0` and thirty digits into
//! floats or a syntax error. Where the fields are amounts of money each of these deserves its own
//! answer, so the tree keeps every member in order and every number as it was written. Strings and
//! numbers borrow from the text; a test compares what is accepted with `serde_json`, byte by byte.

use std::borrow::Cow;

/// Deeper nesting is refused: no document of ours comes near, and the stack is not the client's to spend.
const DEPTH_MAX: usize = 64;

/// A JSON value as it was written.
#[derive(Clone, Debug, PartialEq)]
pub enum Node<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// The literal itself: whether it is whole, and fits, is for the reader to say.
    Number(&'a str),
    /// A string, unescaped.
    Text(Cow<'a, str>),
    /// The elements in order.
    List(Vec<Node<'a>>),
    /// The members in order, equal keys included.
    Object(Vec<Member<'a>>),
}

impl Node<'_> {
    /// The canonical form: what differs only in white space, in the order of members or in escapes is the same. A
    /// number stays as it was written.
    pub fn canonical(&self) -> String {
        let mut text = String::new();
        self.write_canonical(&mut text);
        text
    }

    fn write_canonical(&self, to: &mut String) {
        match self {
            Self::Null => to.push_str("null"),
            Self::Bool(value) => to.push_str(if *value { "true" } else { "false" }),
            Self::Number(literal) => to.push_str(literal),
            Self::Text(text) => write_text(text, to),
            Self::List(elements) => {
                to.push('[');
                for (at, element) in elements.iter().enumerate() {
                    write_comma(at, to);
                    element.write_canonical(to);
                }
                to.push(']');
            }
            Self::Object(members) => {
                let mut sorted: Vec<&Member<'_>> = members.iter().collect();
                sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
                to.push('{');
                for (at, (key, value)) in sorted.into_iter().enumerate() {
                    write_comma(at, to);
                    write_text(key, to);
                    to.push(':');
                    value.write_canonical(to);
                }
                to.push('}');
            }
        }
    }
}

fn write_comma(at: usize, to: &mut String) {
    if at > 0 {
        to.push(',');
    }
}

fn write_text(text: &str, to: &mut String) {
    to.push_str(&serde_json::Value::from(text).to_string());
}

/// A key and its value.
pub type Member<'a> = (Cow<'a, str>, Node<'a>);

/// Why a text is not JSON, and where.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at line {line}, column {column}")]
pub struct NotJson {
    what: &'static str,
    line: usize,
    column: usize,
}

/// Reads exactly one JSON document.
pub fn parse(bytes: &[u8]) -> Result<Node<'_>, NotJson> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => return Err(locate(bytes, error.valid_up_to(), "the text is not UTF-8")),
    };
    let mut reader = Reader { text, at: 0, depth: 0 };
    reader.document().map_err(|what| locate(bytes, reader.at, what))
}

fn locate(bytes: &[u8], at: usize, what: &'static str) -> NotJson {
    let before = String::from_utf8_lossy(&bytes[..at.min(bytes.len())]);
    let last_line = before.rsplit('\n').next().unwrap_or_default();
    NotJson { what, line: 1 + before.matches('\n').count(), column: 1 + last_line.chars().count() }
}

/// What is wrong; the position is where the reader stands.
type Step<T> = Result<T, &'static str>;

struct Reader<'a> {
    text: &'a str,
    /// Always at the start of a character: the reader only stops at ASCII bytes.
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Step<Node<'a>> {
        self.skip_space();
        let node = self.value()?;
        self.skip_space();
        if self.peek().is_some() {
            return Err("there is more after the end of the document");
        }
        Ok(node)
    }

    fn value(&mut self) -> Step<Node<'a>> {
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::list),
            Some(b'"') => self.string().map(Node::Text),
            Some(b'-' | b'0'..=b'9') => self.number().map(Node::Number),
            Some(b't') => self.word("true", Node::Bool(true)),
            Some(b'f') => self.word("false", Node::Bool(false)),
            Some(b'n') => self.word("null", Node::Null),
            Some(_) => Err("a value was expected"),
            None => Err("the text ends where a value was expected"),
        }
    }

    fn nested(&mut self, read: impl FnOnce(&mut Self) -> Step<Node<'a>>) -> Step<Node<'a>> {
        if self.depth == DEPTH_MAX {
            return Err("the nesting is too deep");
        }
        self.depth += 1;
        self.at += 1;
        self.skip_space();
        let node = read(self)?;
        self.depth -= 1;
        Ok(node)
    }

    fn object(&mut self) -> Step<Node<'a>> {
        let mut members = Vec::new();
        if self.take(b'}') {
            return Ok(Node::Object(members));
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err("a key in double quotes was expected");
            }
            let key = self.string()?;
            self.skip_space();
            if !self.take(b':') {
                return Err("`:` was expected");
            }
            self.skip_space();
            members.push((key, self.value()?));
            self.skip_space();
            if self.take(b'}') {
                return Ok(Node::Object(members));
            }
            if !self.take(b',') {
                return Err("`,` or `}` was expected");
            }
            self.skip_space();
        }
    }

    fn list(&mut self) -> Step<Node<'a>> {
        let mut elements = Vec::new();
        if self.take(b']') {
            return Ok(Node::List(elements));
        }
        loop {
            elements.push(self.value()?);
            self.skip_space();
            if self.take(b']') {
                return Ok(Node::List(elements));
            }
            if !self.take(b',') {
                return Err("`,` or `]` was expected");
            }
            self.skip_space();
        }
    }

    fn number(&mut self) -> Step<&'a str> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        } else if matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err("a number must not start with 0");
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _sign = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    fn digits(&mut self) -> Step<()> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err("a digit was expected") } else { Ok(()) }
    }

    fn string(&mut self) -> Step<Cow<'a, str>> {
        self.at += 1;
        let mut from = self.at;
        let mut unescaped: Option<String> = None;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let tail = &self.text[from..self.at];
                    self.at += 1;
                    return Ok(match unescaped {
                        None => Cow::Borrowed(tail),
                        Some(head) => Cow::Owned(head + tail),
                    });
                }
                Some(b'\\') => {
                    let head = unescaped.get_or_insert_default();
                    head.push_str(&self.text[from..self.at]);
                    self.at += 1;
                    let character = self.escape()?;
                    unescaped.get_or_insert_default().push(character);
                    from = self.at;
                }
                Some(0..=0x1f) => return Err("a control character in a string has to be escaped"),
                Some(_) => self.at += 1,
                None => return Err("the text ends inside a string"),
            }
        }
    }

    fn escape(&mut self) -> Step<char> {
        let character = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode();
            }
            _ => return Err("no such escape"),
        };
        self.at += 1;
        Ok(character)
    }

    fn unicode(&mut self) -> Step<char> {
        let unit = self.hex4()?;
        let code = if (0xd800..0xdc00).contains(&unit) {
            if !(self.take(b'\\') && self.take(b'u')) {
                return Err("half a surrogate pair");
            }
            let low = self.hex4()?;
            if !(0xdc00..0xe000).contains(&low) {
                return Err("half a surrogate pair");
            }
            0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
        } else {
            unit
        };
        char::from_u32(code).ok_or("half a surrogate pair")
    }

    fn hex4(&mut self) -> Step<u32> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            code = code << 4 | digit.ok_or("four hexadecimal digits were expected")?;
            self.at += 1;
        }
        Ok(code)
    }

    fn word(&mut self, word: &str, node: Node<'a>) -> Step<Node<'a>> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err("a value was expected");
        }
        self.at += word.len();
        Ok(node)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

#[cfg(test)]
mod tests;
