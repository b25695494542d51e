//! Links lead somewhere.

use crate::markdown::{anchors, link_targets};
use crate::{DOCUMENTS, root, text};

#[test]
fn every_link_to_a_file_or_a_heading_leads_there() {
    for document in DOCUMENTS {
        let path = root().join(document);
        let own = text(document);
        for target in link_targets(&own) {
            if target.contains("://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target.as_str(), ""));
            let linked = if file.is_empty() {
                path.clone()
            } else {
                path.parent().expect("a file lies in a directory").join(file)
            };
            assert!(linked.exists(), "{document}: {target} leads nowhere");
            if !anchor.is_empty() {
                let there = std::fs::read_to_string(&linked).unwrap_or_default();
                let anchors = anchors(&there);
                assert!(anchors.iter().any(|heading| heading == anchor), "{document}: {target}");
            }
        }
    }
}
