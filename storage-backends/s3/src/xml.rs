//! The few answers of a server that have a body to read. Takes any bytes.

use quick_xml::{Reader, escape::escape, events::Event};

/// A document of one level: its root, and the text of each element beneath.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) root: String,
    fields: Vec<(String, String)>,
}

impl Document {
    /// What can be read of a document; what is none has no root.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let mut document = Self::default();
        let text = String::from_utf8_lossy(bytes);
        let mut reader = Reader::from_str(&text);
        let mut depth = 0_u32;
        let mut field = None;
        loop {
            match reader.read_event() {
                Ok(Event::Start(start)) => {
                    depth = depth.saturating_add(1);
                    let name = start.local_name().as_ref().to_owned();
                    match depth {
                        1 => document.root = name,
                        2 => field = Some((name, String::new())),
                        _ => {}
                    }
                }
                Ok(Event::End(_)) => {
                    if depth == 2 {
                        document.fields.extend(field.take());
                    }
                    depth = depth.saturating_sub(1);
                }
                Ok(Event::Text(text)) => {
                    if let (2, Some((_, value))) = (depth, &mut field) {
                        value.push_str(&text);
                    }
                }
                Ok(Event::GeneralRef(entity)) => {
                    if let (2, Some((_, value))) = (depth, &mut field) {
                        match entity.resolve_char_ref() {
                            Ok(Some(char)) => value.push(char),
                            _ => value.push_str(predefined(&entity)),
                        }
                    }
                }
                Ok(Event::Eof) | Err(_) => return document,
                Ok(_) => {}
            }
        }
    }

    /// The text of an element, if there is one that is not empty.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let (_, value) = self.fields.iter().find(|(found, _)| found == name)?;
        let value = value.trim();
        (!value.is_empty()).then_some(value)
    }
}

fn predefined(entity: &str) -> &'static str {
    match entity {
        "amp" => "&",
        "lt" => "<",
        "gt" => ">",
        "quot" => "\"",
        "apos" => "'",
        _ => "",
    }
}

/// The body of CompleteMultipartUpload: entity tags of the parts from the first on.
pub(crate) fn complete<'a>(tags: impl Iterator<Item = &'a str>) -> String {
    let mut body =
        String::from("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (number, tag) in (1_u32..).zip(tags) {
        let tag = escape(tag);
        body.push_str(&format!(
            "<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>"
        ));
    }
    body.push_str("</CompleteMultipartUpload>");
    body
}

/// The body of CreateBucket.
pub(crate) fn constraint(region: &str) -> String {
    let region = escape(region);
    format!(
        "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
         <LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn errors_and_results_are_read() {
        let text = "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>a &lt;&#98;&gt;</Message><Empty/></Error>";
        let document = Document::parse(text.as_bytes());
        assert_eq!(document.root, "Error");
        assert_eq!(document.field("Code"), Some("SlowDown"));
        assert_eq!(document.field("Message"), Some("a <b>"));
        assert_eq!(document.field("Empty"), None);
        let text = "  \n<InitiateMultipartUploadResult xmlns=\"http://x\"><UploadId>2~a</UploadId></InitiateMultipartUploadResult>";
        assert_eq!(Document::parse(text.as_bytes()).field("UploadId"), Some("2~a"));
    }

    #[test]
    fn what_is_deeper_is_not_mistaken() {
        let text = "<Error><Details><Code>Deep</Code></Details><Code>Own</Code></Error>";
        assert_eq!(Document::parse(text.as_bytes()).field("Code"), Some("Own"));
    }

    #[test]
    fn tags_are_numbered_and_escaped() {
        let body = complete(["\"a\"", "<b>"].into_iter());
        assert!(
            body.contains("<PartNumber>2</PartNumber><ETag>&lt;b&gt;</ETag>"),
            "{body}"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Document::parse(&bytes);
        }
    }
}
