//! The table: each message of RFC 4475 and RFC 5118, what becomes of it, and why.
#![allow(unreachable_pub, reason = "a part of the test")]

use sip_core::SipDrop;

/// What becomes of a message.
pub enum Expect {
    /// A request goes to this address. Beside our Via and Record-Route on top, exactly these texts
    /// differ from what came; what stands behind the body is cut off.
    Forwarded(&'static str, &'static [(&'static str, &'static str)]),
    /// A request is answered with this status line.
    Replied(&'static str),
    /// A message is dropped.
    Dropped(SipDrop),
    /// A response is dropped as it stands, since we did not forward its request. With our Via on top
    /// it goes to this address without it, otherwise unchanged.
    Returned(&'static str),
    /// The same, but dropped with our Via on top, too.
    NeverReturned(SipDrop),
}

pub use Expect::{Dropped, Forwarded, NeverReturned, Replied, Returned};

/// The member of the destination set.
const SET: &str = "10.77.2.2:5060";

/// The changes of nearly every request: Max-Forwards counts down, and the topmost Via gets
/// `received`, since it names another host than the source (RFC 3261 section 18.2.1).
macro_rules! changes {
    ($before:literal => $after:literal, $via:literal) => {
        &[
            (concat!("Max-Forwards: ", $before), concat!("Max-Forwards: ", $after)),
            ($via, concat!($via, ";received=10.77.1.2")),
        ]
    };
}

/// File, what becomes of it, why.
pub type Row = (&'static str, Expect, &'static str);

/// RFC 4475, in its order, through rules that forward everything to a destination set.
pub const RFC4475: [Row; 49] = [
    // 3.1.1: valid messages
    (
        "wsinv",
        Forwarded(
            SET,
            &[
                ("MaX-fOrWaRdS: 0068", "MaX-fOrWaRdS:   67"),
                ("390skdjuw", "390skdjuw;received=10.77.1.2"),
            ],
        ),
        "3.1.1.1: folds, odd spacing, lists; the Route is another's and stays",
    ),
    (
        "intmeth",
        Forwarded(SET, changes!("255" => "254", "%66*_+`'~")),
        "3.1.1.2: any token is a method; the Via says TCP, the datagram came by UDP",
    ),
    (
        "esc01",
        Forwarded(SET, changes!("87" => "86", "z9hG4bKkdjuw")),
        "3.1.1.3: an escaped @ is no @; nothing is unescaped on the way",
    ),
    (
        "escnull",
        Forwarded(SET, changes!("70" => "69", "z9hG4bKkdjuw")),
        "3.1.1.4: %00 in URIs that we pass on",
    ),
    (
        "esc02",
        Forwarded(SET, changes!("70" => "69", "z9hG4bK209%fzsnel234")),
        "3.1.1.5: %47 in a method or header name escapes nothing: an unknown method, an unknown header",
    ),
    (
        "lwsdisp",
        Forwarded(SET, changes!("70" => "69", "z9hG4bKkdjuw")),
        "3.1.1.6: no space between display name and <",
    ),
    (
        "longreq",
        Forwarded(SET, changes!("70" => "69", "SIP/2.0/TCP sip33.example.com")),
        "3.1.1.7: long values, 34 Vias, none of them over a limit",
    ),
    (
        "dblreq",
        Forwarded(SET, changes!("8" => "7", "z9hG4bKkdjuw23492")),
        "3.1.1.8: what follows Content-Length in a datagram is discarded, RFC 3261 18.3",
    ),
    (
        "semiuri",
        Forwarded(SET, changes!("3" => "2", "z9hG4bKkdjuw")),
        "3.1.1.9: the semicolon belongs to the user part",
    ),
    (
        "transports",
        Forwarded(SET, changes!("70" => "69", "z9hG4bKkdjuw")),
        "3.1.1.10: any token is a transport",
    ),
    (
        "mpart01",
        Forwarded(
            SET,
            &[
                ("Max-Forwards: 70", "Max-Forwards: 69"),
                ("--d87543-;rport", "--d87543-;rport=5060;received=10.77.1.2"),
            ],
        ),
        "3.1.1.11: a binary body is bytes",
    ),
    ("unreason", Returned("192.0.2.198:5060"), "3.1.1.12: a reason phrase in UTF-8"),
    ("noreason", Returned("192.0.2.105:5060"), "3.1.1.13: a reason phrase may be empty"),
    // 3.1.2: invalid messages
    (
        "badinv01",
        Replied("400 Malformed Via"),
        "3.1.2.1: the Via is needed and broken; its sent-by is whole, so the answer finds its way",
    ),
    ("clerr", Replied("400 Content-Length Too Large"), "3.1.2.2: over UDP an error, RFC 3261 18.3"),
    ("ncl", Replied("400 Malformed Content-Length"), "3.1.2.3: negative"),
    ("scalar02", Replied("400 Malformed CSeq"), "3.1.2.4: CSeq and Max-Forwards out of range"),
    ("scalarlg", NeverReturned(SipDrop::ResponseMalformed), "3.1.2.5: a bad response is discarded"),
    (
        "quotbal",
        Forwarded(SET, changes!("10" => " 9", "z9hG4bKkdjuw39234")),
        "3.1.2.6: 400 would be an endpoint's answer; To is not needed to forward, 3261 16.3 step 1",
    ),
    ("ltgtruri", Replied("400 Malformed Request-URI"), "3.1.2.7: <> round the Request-URI"),
    ("lwsruri", Replied("400 Malformed Request-URI"), "3.1.2.8: a space inside the Request-URI"),
    (
        "lwsstart",
        Replied("400 Malformed Request-URI"),
        "3.1.2.9: two spaces around the Request-URI",
    ),
    ("trws", Replied("400 White Space Ends Request Line"), "3.1.2.10: spaces behind SIP-Version"),
    (
        "escruri",
        Replied("400 Malformed Request-URI"),
        "3.1.2.11: header fields in a Request-URI; forwarded, they could become a Route of the next hop",
    ),
    (
        "baddate",
        Forwarded(SET, changes!("70" => "69", "z9hG4bKkdjuw")),
        "3.1.2.12: the very example of RFC 3261 16.3 step 1: a malformed Date is no reason to refuse",
    ),
    (
        "regbadct",
        Forwarded(SET, changes!("70" => "69", "z9hG4bKkdjuw")),
        "3.1.2.13: Contact is the registrar's matter",
    ),
    (
        "badaspec",
        Forwarded(SET, changes!("70" => "69", "z9hG4bKkdju43234")),
        "3.1.2.14: spaces within the < > of To, which is not needed",
    ),
    (
        "baddn",
        Forwarded(SET, changes!("     70" => "     69", "z9hG4bKkdjuw")),
        "3.1.2.15: an unquoted comma in From and To, which are not needed",
    ),
    (
        "badvers",
        Replied("505 Version Not Supported"),
        "3.1.2.16: the Via names SIP/7.0 too, and still says where the answer goes",
    ),
    ("mismatch01", Replied("400 CSeq Method Mismatch"), "3.1.2.17: known method"),
    (
        "mismatch02",
        Replied("400 CSeq Method Mismatch"),
        "3.1.2.18: unknown method; 501 is for endpoints",
    ),
    ("bigcode", Dropped(SipDrop::ResponseMalformed), "3.1.2.19: a status code beyond 32 bits"),
    // 3.2: transaction layer
    (
        "badbranch",
        Forwarded(SET, changes!("3" => "2", "branch=z9hG4bK")),
        "3.2.1: the bare cookie is not unique: our branch hashes the RFC 2543 transaction",
    ),
    // 3.3: application layer
    (
        "insuf",
        Replied("400 Missing From"),
        "3.3.1: ideally 400; Via and CSeq are enough for the client to know it",
    ),
    ("unkscm", Replied("416 Unsupported URI Scheme"), "3.3.2: unknown scheme"),
    ("novelsc", Replied("416 Unsupported URI Scheme"), "3.3.3: known scheme, none of SIP"),
    (
        "unksm2",
        Forwarded(SET, changes!("70" => "69", "z9hG4bKkdjuw")),
        "3.3.4: schemes of To, From and Contact are the registrar's matter",
    ),
    (
        "bext01",
        Replied("420 Bad Extension"),
        "3.3.5: Proxy-Require decides, Require is for the endpoint",
    ),
    (
        "invut",
        Forwarded(SET, changes!("70" => "69", "z9hG4bKkdjuw")),
        "3.3.6: a proxy has no opinion on Content-Type",
    ),
    (
        "regaut01",
        Forwarded(SET, changes!("8" => "7", "z9hG4bKkdjuw")),
        "3.3.7: an unknown authorization scheme is the registrar's matter",
    ),
    ("multi01", Replied("400 Duplicate CSeq"), "3.3.8: which of two would the next hop believe?"),
    ("mcl01", Replied("400 Duplicate Content-Length"), "3.3.9: no way to know where the body ends"),
    (
        "bcast",
        NeverReturned(SipDrop::ResponseUnroutable),
        "3.3.10: a Via that names the broadcast address must not make us flood a network",
    ),
    (
        "zeromf",
        Replied("200 OK"),
        "3.3.11: not forwarded; 483 for any other method, but OPTIONS may be answered here, 3261 11",
    ),
    (
        "cparam01",
        Forwarded(SET, changes!("70" => "69", "z9hG4bKkdjuw")),
        "3.3.12: Contact is the registrar's matter",
    ),
    (
        "cparam02",
        Forwarded(SET, changes!("70" => "69", "z9hG4bKkdjuw")),
        "3.3.13: Contact is the registrar's matter",
    ),
    (
        "regescrt",
        Forwarded(SET, changes!("70" => "69", "z9hG4bKkdjuw")),
        "3.3.14: Contact is the registrar's matter",
    ),
    (
        "sdp01",
        Forwarded(SET, changes!("5" => "4", "z9hG4bKkdjuw")),
        "3.3.15: Accept is the endpoint's matter",
    ),
    // 3.4: backward compatibility
    (
        "inv2543",
        Forwarded(SET, &[("iftgw.example.com", "iftgw.example.com;received=10.77.1.2")]),
        "3.4.1: no branch, no Max-Forwards (added), no From tag, no Content-Length",
    ),
];

/// RFC 5118, in its order, through rules that relay everything to its Request-URI.
pub const RFC5118: [Row; 12] = [
    (
        "ipv6-good",
        Forwarded("[2001:db8::10]:5060", changes!("70" => "69", "z9hG4bKas3-111")),
        "4.1: an IPv6 reference",
    ),
    ("ipv6-bad", Replied("400 Malformed Request-URI"), "4.2: an IPv6 address without brackets"),
    (
        "port-ambiguous",
        Forwarded("[2001:db8::10:5070]:5060", changes!("70" => "69", "z9hG4bKas3-111")),
        "4.3: 5070 stands inside the brackets and belongs to the address",
    ),
    (
        "port-unambiguous",
        Forwarded("[2001:db8::10]:5070", changes!("70" => "69", "z9hG4bKas3-111")),
        "4.4: 5070 stands behind the brackets and is the port",
    ),
    (
        "via-received-param-with-delim",
        Forwarded(
            "[2001:db8::10]:5060",
            &[
                ("Max-Forwards: 70", "Max-Forwards: 69"),
                ("received=[2001:db8::9:255]", "received=10.77.1.2"),
            ],
        ),
        "4.5: received with brackets is understood; in a request it is replaced by what we saw",
    ),
    (
        "via-received-param-no-delim",
        Forwarded(
            "[2001:db8::10]:5060",
            &[
                ("Max-Forwards: 70", "Max-Forwards: 69"),
                ("received=2001:db8::9:255", "received=10.77.1.2"),
            ],
        ),
        "4.5: received without brackets, as the grammar wants it",
    ),
    (
        "ipv6-in-sdp",
        Forwarded("[2001:db8::10]:5060", changes!("70" => "69", "z9hG4bKas3-111")),
        "4.6: a body is bytes",
    ),
    (
        "mult-ip-in-header",
        Replied("503 Next Hop Not Resolved"),
        "4.7: both families in Via; only the host name of the Request-URI stops it",
    ),
    (
        "mult-ip-in-sdp",
        Forwarded("[2001:db8::10]:5060", changes!("70" => "69", "z9hG4bKas3-111")),
        "4.8: a body is bytes",
    ),
    (
        "ipv4-mapped-ipv6",
        Replied("404 Not Found"),
        "4.9: mapped addresses in Via and Contact; our own domain, which nothing takes",
    ),
    (
        "ipv6-bug-abnf-3-colons",
        Replied("400 Malformed Request-URI"),
        "4.10: the grammar of RFC 3261 allows it, RFC 3986 and 4291 do not; guessing is not our part",
    ),
    (
        "ipv6-correct-abnf-2-colons",
        Forwarded("[2001:db8::192.0.2.1]:5060", changes!("70" => "69", "z9hG4bKas3-111")),
        "4.10: an IPv6 address that ends as an IPv4 address",
    ),
];
