//! Answers to a digest challenge (RFC 2617, RFC 7616).

use super::script::Method;
use super::template::{DOMAIN, PASSWORD};
use digest_auth::{AuthContext, HttpMethod, WwwAuthenticateHeader};

/// The Authorization line, with its end, that answers a `WWW-Authenticate` value; none when the
/// challenge is not understood.
pub(crate) fn authorization(challenge: &[u8], user: &str, method: Method) -> Option<Vec<u8>> {
    let challenge = core::str::from_utf8(challenge).ok()?;
    let mut prompt = WwwAuthenticateHeader::parse(challenge).ok()?;
    let method = HttpMethod::from(method.token());
    let uri = format!("sip:{DOMAIN}");
    let context = AuthContext::new_with_method(user, PASSWORD, uri, None::<&[u8]>, method);
    let answer = prompt.respond(&context).ok()?;
    Some(format!("Authorization: {answer}\r\n").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::{Method, authorization};

    #[test]
    fn a_challenge_is_answered() {
        let challenge = b"Digest realm=\"bench.test\", nonce=\"abc\", qop=\"auth\", algorithm=MD5";
        let answer = authorization(challenge, "c0000001", Method::Register).unwrap();
        let text = String::from_utf8(answer).unwrap();
        assert!(text.starts_with("Authorization: Digest username=\"c0000001\""), "{text}");
        assert!(text.contains("qop=auth") && text.ends_with("\r\n"), "{text}");
        assert!(authorization(b"Basic", "c", Method::Register).is_none());
    }
}
