//! Errors become bodies: webob's text, HTML or JSON, by the request's `Accept`.

use axum::{body::Body, extract::Request, middleware::Next, response::Response};
use http::{
    HeaderMap, Method, StatusCode,
    header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue},
};

use crate::http::{accept::Accept, error::ApiError};

/// The forms a body can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Html,
    Json,
}

/// Gives every [`ApiError`] its body.
pub(in crate::http) async fn render(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let form = Form::accepted(request.headers());
    let media_type = request.headers().get(CONTENT_TYPE).cloned();
    let mut response = next.run(request).await;
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        let media_type = media_type
            .as_ref()
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        // A HEAD has no body, and webob does not look at Accept for it.
        let form = if method == Method::HEAD { Form::Html } else { form };
        let body = if method == Method::HEAD {
            String::new()
        } else {
            form.page(&error, &method, media_type)
        };
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, form.content_type());
        // The router has measured the body that there was before.
        headers.insert(CONTENT_LENGTH, body.len().into());
        // It adds this to whatever the refusal of a method became, 401 for one.
        if error.status != StatusCode::METHOD_NOT_ALLOWED {
            headers.remove(ALLOW);
        }
        *response.body_mut() = Body::from(body);
    }
    response
}

impl Form {
    /// The form that an `Accept` asks for. Nothing, or nothing known, is text.
    fn accepted(headers: &HeaderMap) -> Self {
        let Some(accept) = Accept::of(headers) else {
            return Self::Text;
        };
        match (accept.quality("text/html"), accept.quality("application/json")) {
            (0, 0) => Self::Text,
            (html, json) if html >= json => Self::Html,
            _ => Self::Json,
        }
    }

    const fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Text => "text/plain; charset=UTF-8",
            Self::Html => "text/html; charset=UTF-8",
            Self::Json => "application/json",
        })
    }

    fn page(self, error: &ApiError, method: &Method, media_type: &str) -> String {
        let status = format!("{} {}", error.status.as_u16(), error.title());
        match self {
            Self::Text => format!(
                "{status}\n\n{}",
                plain(&body(error, method, media_type, str::to_owned))
            ),
            Self::Html => format!(
                "<html>\n <head>\n  <title>{status}</title>\n </head>\n <body>\n  <h1>{status}</h1>\n  {}\n \
                 </body>\n</html>",
                body(error, method, media_type, escape)
            ),
            Self::Json => format!(
                r#"{{"message": {}, "code": {}, "title": {}}}"#,
                serde_json::Value::from(body(error, method, media_type, str::to_owned)),
                serde_json::Value::from(status),
                serde_json::Value::from(error.title())
            ),
        }
    }
}

/// webob's body templates.
fn body(error: &ApiError, method: &Method, media_type: &str, quote: impl Fn(&str) -> String) -> String {
    let explanation = quote(&error.explanation);
    let detail = quote(&error.detail);
    match error.status.as_u16() {
        405 => format!("The method {method} is not allowed for this resource. <br /><br />\n{detail}"),
        415 => format!(
            "The request media type {} is not supported by this server.\n<br /><br />\n{detail}",
            quote(media_type)
        ),
        501 => {
            let method = quote(method.as_str());
            format!(
                "\nThe request method {method} is not implemented for this server. <br /><br />\n{detail}"
            )
        }
        _ => format!("{explanation}<br /><br />\n{detail}\n\n"),
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#x27;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The template's HTML as text: line ends become spaces, `<br />` line ends.
fn plain(body: &str) -> String {
    body.replace('\n', " ").replace('\r', "").replace("<br />", "\n")
}

#[cfg(test)]
mod tests {
    use http::header::ACCEPT;

    use super::*;

    fn accept(value: &'static str) -> Form {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(value));
        Form::accepted(&headers)
    }

    #[test]
    fn the_form_follows_accept_as_webob_does() {
        assert_eq!(Form::accepted(&HeaderMap::new()), Form::Text);
        assert_eq!(accept(""), Form::Text);
        assert_eq!(accept("nonsense"), Form::Html);
        assert_eq!(accept("image/png"), Form::Text);
        assert_eq!(accept("*/*"), Form::Html);
        assert_eq!(accept("application/json"), Form::Json);
        assert_eq!(accept("application/json, */*;q=0.5"), Form::Json);
        assert_eq!(accept("application/json, */*"), Form::Html);
        assert_eq!(accept("application/*"), Form::Json);
        assert_eq!(accept("text/html;q=0, application/json;q=0.1"), Form::Json);
    }

    #[test]
    fn the_text_of_a_denial_is_byte_for_byte_that_of_the_transcript() {
        let error = ApiError::new(
            StatusCode::FORBIDDEN,
            "You are not authorized to complete publicize_image action.",
        );
        let page = Form::Text.page(&error, &Method::PATCH, "");
        assert_eq!(
            page,
            "403 Forbidden\n\nYou are not authorized to complete publicize_image action.\n\n   "
        );
        assert_eq!(page.len(), 78);
    }

    #[test]
    fn the_html_of_an_unknown_image_is_byte_for_byte_that_of_the_transcript() {
        let error = ApiError::new(
            StatusCode::NOT_FOUND,
            "No image found with ID 868a468f-2906-414e-859e-f54a38d10e38",
        );
        let page = Form::Html.page(&error, &Method::GET, "");
        assert_eq!(page.len(), 181);
        assert!(
            page.ends_with("<br /><br />\n\n\n\n </body>\n</html>"),
            "{page:?}"
        );
    }

    #[test]
    fn the_html_of_a_wrong_media_type_is_as_long_as_that_of_the_transcript() {
        let error = ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "").detail(
            "Image PATCH expects Content-Type one of: application/openstack-images-v2.0-json-patch, \
             application/openstack-images-v2.1-json-patch",
        );
        assert_eq!(
            Form::Html.page(&error, &Method::PATCH, "application/json").len(),
            350
        );
    }

    #[test]
    fn the_code_in_json_is_a_string() {
        let error = ApiError::new(StatusCode::NOT_FOUND, "x");
        let page: serde_json::Value =
            serde_json::from_str(&Form::Json.page(&error, &Method::GET, "")).unwrap();
        assert_eq!(page["code"], "404 Not Found");
        assert_eq!(page["title"], "Not Found");
        assert_eq!(page["message"], "x<br /><br />\n\n\n");
    }

    #[test]
    fn what_came_from_outside_is_escaped_in_html() {
        let error = ApiError::new(StatusCode::BAD_REQUEST, "<script>alert(\"&\")</script>");
        let page = Form::Html.page(&error, &Method::GET, "");
        assert!(
            page.contains("&lt;script&gt;alert(&quot;&amp;&quot;)&lt;/script&gt;"),
            "{page}"
        );
    }
}
