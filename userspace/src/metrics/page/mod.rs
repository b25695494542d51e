//! The status page: files that are part of the program, and the headers they are served with. The
//! page takes nothing from elsewhere, runs no script but its own file, and cannot be put into
//! another page; a browser that knows Trusted Types lets nothing of it make HTML from text.

use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use hyper::header::{
    CONNECTION, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, X_FRAME_OPTIONS,
};

/// Files by their paths, each with its type.
const FILES: [(&str, &str, &str); 4] = [
    ("/", "text/html; charset=utf-8", include_str!("index.html")),
    ("/status.js", "text/javascript; charset=utf-8", include_str!("status.js")),
    ("/status.css", "text/css; charset=utf-8", include_str!("status.css")),
    ("/status.svg", "image/svg+xml", include_str!("status.svg")),
];

/// What the page may do.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

/// The type and the text of the file of this path.
pub(super) fn file(path: &str) -> Option<(&'static str, &'static str)> {
    FILES.iter().find(|(its, ..)| *its == path).map(|(_, kind, text)| (*kind, *text))
}

/// Adds what keeps a response of the page to itself. Its connection ends: browsers keep theirs
/// open, and a few that are would take the places of those who scrape.
pub(super) fn guard(mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (CONNECTION, "close"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_no_place_outside_and_has_no_script_or_style_in_it() {
        for (path, _, text) in FILES {
            let text = text.replace("http://www.w3.org/2000/svg", "");
            for word in ["http:", "https:", "//cdn", "innerHTML", "outerHTML", "insertAdjacentHTML"]
            {
                assert!(!text.contains(word), "{path}: {word}");
            }
        }
        let (_, page) = file("/").unwrap();
        for word in [" style=", " onclick", " onload", "javascript:", "<style"] {
            assert!(!page.contains(word), "{word}");
        }
        assert_eq!(page.matches("<script").count(), 1);
    }

    #[test]
    fn every_file_that_the_page_names_is_there() {
        let (_, page) = file("/").unwrap();
        for path in ["status.js", "status.css", "status.svg"] {
            assert!(page.contains(&format!("\"{path}\"")), "{path}");
            assert!(file(&format!("/{path}")).is_some(), "{path}");
        }
        assert_eq!(file("/index.html"), None);
    }
}
