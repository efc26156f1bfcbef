//! What does the page consist of? A few files in the binary, and headers that let them do nothing but show.

use axum::http::header::{self, HeaderName};

/// A file of the page.
pub struct File {
    /// Where it is served.
    pub path: &'static str,
    /// Its media type.
    pub media: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// All files of the page.
pub static FILES: [File; 8] = [
    File { path: "/", media: "text/html; charset=utf-8", text: include_str!("page/index.html") },
    File { path: "/icon.svg", media: "image/svg+xml", text: include_str!("page/icon.svg") },
    File { path: "/app.css", media: "text/css; charset=utf-8", text: include_str!("page/app.css") },
    File { path: "/app.js", media: SCRIPT, text: include_str!("page/app.js") },
    File { path: "/bars.js", media: SCRIPT, text: include_str!("page/bars.js") },
    File { path: "/cars.js", media: SCRIPT, text: include_str!("page/cars.js") },
    File { path: "/chart.js", media: SCRIPT, text: include_str!("page/chart.js") },
    File { path: "/words.js", media: SCRIPT, text: include_str!("page/words.js") },
];

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// What each answer carries. Names on the page come from the configuration and from the cloud: scripts run from our own
/// files only (CSP level 3), text never becomes markup (Trusted Types), and nobody frames us or guesses a media type.
pub static HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_asks_nobody_else_for_anything() {
        for file in &FILES {
            let own = file.text.replace("http://www.w3.org/2000/svg", "");
            assert!(!own.contains("http://") && !own.contains("https://"), "{} names an outside address", file.path);
        }
    }

    #[test]
    fn text_never_becomes_markup() {
        let scripts: String = FILES.iter().filter(|file| file.media == SCRIPT).map(|file| file.text).collect();
        for way in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "setAttribute('style'"] {
            assert!(!scripts.contains(way), "{way}");
        }
        let markup = FILES[0].text;
        assert!(!markup.contains("style=") && !markup.contains("<style") && !markup.contains("onclick"));
    }
}
