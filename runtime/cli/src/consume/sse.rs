//! Takes a stream of server-sent events apart, line by line (source: the HTML standard, section
//! 9.2.6). It reads nothing by itself.

/// What is gathered of a stream.
#[derive(Debug, Default)]
pub(super) struct Parser {
    /// Id of the last event, to resume by.
    pub(super) last_id: Option<String>,
    kind: String,
    data: Option<String>,
}

/// One event of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Empty for an ordinary one.
    pub(super) kind: String,
    pub(super) data: String,
}

impl Parser {
    /// Takes one line, without its end. An empty one completes an event, if there is any.
    pub(super) fn line(&mut self, line: &str) -> Option<Frame> {
        if line.is_empty() {
            let kind = std::mem::take(&mut self.kind);
            return self.data.take().map(|data| Frame { kind, data });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            "event" => value.clone_into(&mut self.kind),
            "id" => self.last_id = Some(value.to_owned()),
            // A comment begins with the colon; other fields are not for us.
            _ => {}
        }
        None
    }

    /// Forgets an event that broke off.
    pub(super) fn restart(&mut self) {
        self.kind.clear();
        self.data = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_taken_apart() {
        let mut parser = Parser::default();
        let text = ": comment\nretry: 1000\n\nid: 0:1\ndata: {\"a\":1}\n\nevent: gap\ndata:x\n\
                    data: y\n\nid: 0:9\n\n";
        let frames: Vec<_> = text.lines().filter_map(|line| parser.line(line)).collect();
        let frame = |kind: &str, data: &str| Frame { kind: kind.into(), data: data.into() };
        assert_eq!(frames, [frame("", "{\"a\":1}"), frame("gap", "x\ny")]);
        assert_eq!(parser.last_id.as_deref(), Some("0:9"), "an id without data moves the place");
    }

    #[test]
    fn what_broke_off_is_not_told() {
        let mut parser = Parser::default();
        for line in ["event: gap", "data: half"] {
            assert_eq!(parser.line(line), None);
        }
        parser.restart();
        assert_eq!(parser.line(""), None);
    }
}
