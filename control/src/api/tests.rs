//! The endpoints over sources that have nothing but themselves, and the document that describes them.

use super::caller::Peer;
use super::{Sources, endpoints, router};
use crate::audit::Audit;
use crate::config::Role;
use crate::configuration::history::History;
use crate::configuration::manager::{Extent, Source, Wished, Wishes};
use crate::configuration::report::{Report, Verdict};
use crate::configuration::{Loaded, Running};
use crate::connections::Connections;
use crate::dns::Names;
use crate::health::Monitor;
use crate::leaving::Leaving;
use crate::location::keeper::KeeperHandle;
use crate::location::stored::StoredBindings;
use crate::testing;
use axum::Extension;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use control_api::{API_VERSION, BannedSource, FromDataplane, ToDataplane};
use openmetrics_parser::openmetrics::parse_openmetrics;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;
use tower::ServiceExt;

fn text(directory: &Path) -> String {
    let hex = |token: &str| {
        let digest = Sha256::digest(token.as_bytes());
        digest.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
    };
    let state = directory.display();
    format!(
        "[appliance]\nstate_directory = \"{state}\"\nrun_directory = \"{state}\"\n\
         [[listen]]\naddress = \"192.0.2.1:5060\"\n[[routes]]\nforward = \"core\"\n\
         [[destination_sets]]\nname = \"core\"\nprobe = false\nmembers = [{{ address = \"192.0.2.2:5060\" }}]\n\
         [api]\naddress = \"127.0.0.1:9180\"\n\
         [[api.tokens]]\nname = \"prometheus\"\nsha256 = \"{}\"\n\
         [[api.tokens]]\nname = \"ops\"\nrole = \"operator\"\nsha256 = \"{}\"\n\
         [[ports]]\nname = \"p\"\nvdev = \"net_null0\"\n",
        hex("look"),
        hex("change"),
    )
}

/// Control without a data plane, and the other end of its wishes.
struct Bench {
    sources: Sources,
    wished: Wished,
    directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let file = path.join("t.toml");
        std::fs::write(&file, text(path)).unwrap();
        let loaded = Loaded::read(&file).unwrap();
        let sets = loaded.config.destination_sets.clone();
        let (monitor, handle, _) = Monitor::new(&sets, path.join("members.json")).unwrap();
        tokio::spawn(monitor.run());
        let keeper = KeeperHandle::start(&path.join("location")).unwrap();
        let (workers, _) = tokio::sync::mpsc::channel(1);
        let history = History::open(path).unwrap();
        let running = Running::at_start(loaded, None, &history).unwrap();
        let (wishes, wished) = Wishes::channel();
        let sources = Sources {
            dataplane: path.join("dataplane.sock"),
            monitor: handle,
            realms: watch::channel(Vec::new()).1,
            bindings: StoredBindings::new(keeper, workers),
            running: watch::channel(Arc::new(running)).1,
            wishes,
            connections: Connections::default(),
            names: Names::none(),
            history,
            audit: Audit::open(path).unwrap(),
            leaving: Leaving::new(),
            secret: [0; 16],
        };
        Self { sources, wished, directory }
    }

    async fn ask(&self, method: &str, path: &str, token: &str, body: &str) -> (StatusCode, String) {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        request = request.header("content-type", "application/json");
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let peer = Peer::Remote("192.0.2.9:4000".parse().unwrap());
        let router = router(self.sources.clone()).layer(Extension(peer));
        let response = router.oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }
}

#[tokio::test]
async fn every_endpoint_asks_for_its_role() {
    let bench = Bench::new();
    for endpoint in endpoints() {
        let path = endpoint.path.replace("{set}", "core").replace("{member}", "192.0.2.2:5060");
        let path = path.replace("{aor}", "a@example.com").replace("{address}", "192.0.2.9");
        let ask =
            async |token| bench.ask(endpoint.method.as_str(), &path, token, "no JSON").await.0;
        let Some(role) = endpoint.role else {
            assert_ne!(ask("").await, StatusCode::UNAUTHORIZED, "{path}");
            continue;
        };
        assert_eq!(ask("").await, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(ask("wrong").await, StatusCode::UNAUTHORIZED, "{path}");
        let is_for_operators = role == Role::Operator;
        assert_eq!(ask("look").await == StatusCode::FORBIDDEN, is_for_operators, "{path}");
    }
    assert_eq!(bench.ask("GET", "/v2", "look", "").await.0, StatusCode::NOT_FOUND);
    assert_eq!(bench.ask("POST", "/metrics", "look", "").await.0, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn the_document_describes_all_endpoints_and_no_others() {
    let (status, body) = Bench::new().ask("GET", "/openapi.json", "", "").await;
    assert_eq!(status, StatusCode::OK);
    let document: Value = serde_json::from_str(&body).unwrap();
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let role = operation["x-role"].as_str().unwrap_or("none").to_owned();
            described.insert((path.clone(), method.to_uppercase(), role));
            assert_eq!(operation["security"].is_array(), operation["x-role"].is_null(), "{path}");
            let named = operation["parameters"].as_array().map_or(0, |parameters| {
                parameters.iter().filter(|parameter| parameter["in"] == "path").count()
            });
            assert_eq!(path.matches('{').count(), named, "{path}");
            assert!(operation["summary"].is_string() && operation["responses"]["200"].is_object());
        }
    }
    let there: BTreeSet<_> = endpoints()
        .into_iter()
        .map(|endpoint| {
            let role = endpoint.role.map_or("none", Role::name);
            (endpoint.path.to_owned(), endpoint.method.to_string(), role.to_owned())
        })
        .collect();
    assert_eq!(described, there);
    for reference in body.split("\"#/").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(document.pointer(&format!("/{reference}")).is_some(), "{reference}");
    }
}

/// The names of an answer's fields are those of its schema.
fn assert_fits(answer: &Value, schema: &str) {
    let document: Value = serde_json::from_str(include_str!("openapi.json")).unwrap();
    let schemas = &document["components"]["schemas"];
    let required = |schema: &Value| -> BTreeSet<String> {
        let names = schema["required"].as_array().unwrap();
        names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    let schema = &schemas[schema];
    let names: BTreeSet<String> = match schema["allOf"].as_array() {
        None => required(schema),
        Some(parts) => parts
            .iter()
            .flat_map(|part| match part["$ref"].as_str() {
                Some(name) => required(&schemas[name.rsplit('/').next().unwrap()]),
                None => required(part),
            })
            .collect(),
    };
    let there: BTreeSet<String> = answer.as_object().unwrap().keys().cloned().collect();
    assert!(there.is_superset(&names), "{names:?} are promised, {there:?} are there");
}

#[tokio::test]
async fn what_is_looked_at_fits_the_document() {
    let bench = Bench::new();
    let get = async |path: &str| {
        let (status, body) = bench.ask("GET", path, "look", "").await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        serde_json::from_str::<Value>(&body).unwrap()
    };
    let status = get("/v1/status").await;
    assert_fits(&status, "Status");
    assert!(status["dataplane"].is_null() && status["dataplane_error"].is_string());
    assert_fits(&get("/v1/destinations").await[0], "Member");
    assert_fits(&get("/v1/connections").await, "Connections");
    let configuration = get("/v1/configuration").await;
    assert_fits(&configuration, "Configuration");
    assert_eq!(
        (&configuration["number"], &configuration["file_differs"]),
        (&json!(1), &json!(false))
    );
    assert_fits(&get("/v1/configuration/history").await[0], "Generation");
    let (status, body) = bench.ask("GET", "/v1/health", "", "").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_fits(&serde_json::from_str(&body).unwrap(), "Health");
    let (_, metrics) = bench.ask("GET", "/metrics", "look", "").await;
    assert!(
        parse_openmetrics(&metrics).is_ok() && metrics.contains("\ntrunkline_up 0\n"),
        "{metrics}"
    );
    let (status, body) = bench.ask("GET", "/v1/locations/nobody@example.com", "look", "").await;
    assert_eq!((status, body.contains("no binding")), (StatusCode::NOT_FOUND, true), "{body}");
    let (_, text) = bench.ask("GET", "/v1/configuration/text", "change", "").await;
    assert_eq!(text, self::text(bench.directory.path()));
}

#[tokio::test]
async fn a_message_is_explained() {
    let message = "INVITE sip:b@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\n\
                   Max-Forwards: 70\r\nFrom: <sip:a@192.0.2.9>;tag=1\r\nTo: <sip:b@192.0.2.1>\r\n\
                   Call-ID: 1\r\nCSeq: 1 INVITE\r\n\r\n";
    let bench = Bench::new();
    let question = json!({ "message": message, "from": "192.0.2.9:5060" }).to_string();
    let (status, body) = bench.ask("POST", "/v1/where", "look", &question).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(answer["fate"]["forwarded"]["next_hop"], "192.0.2.2:5060", "{body}");
}

#[tokio::test]
async fn bans_are_listed_and_ended() {
    let mut bench = Bench::new();
    let banned = BannedSource { address: [192, 0, 2, 9].into(), seconds_left: 7, workers: 1 };
    let hello = FromDataplane::Hello { api_version: API_VERSION, epoch: 1 };
    let answers = vec![hello, FromDataplane::Sources(vec![banned])];
    let dataplane = testing::Peer::with_answers(answers.clone());
    bench.sources.dataplane = dataplane.path().to_owned();
    let (status, body) = bench.ask("GET", "/v1/sources", "look", "").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let list: Value = serde_json::from_str(&body).unwrap();
    assert_fits(&list[0], "BannedSource");
    assert_eq!(list, json!([{ "address": "192.0.2.9", "seconds_left": 7, "workers": 1 }]));

    let unban = "/v1/sources/192.0.2.9/unban";
    let (status, body) = bench.ask("POST", unban, "change", "").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    dataplane.serve(answers);
    assert_eq!(bench.ask("POST", unban, "change", "").await.0, StatusCode::OK);
    let asked = dataplane.asked.lock().unwrap().last().cloned();
    let unbanned = Some([192, 0, 2, 9].into());
    assert!(
        matches!(asked, Some(ToDataplane::Sources { unban }) if unban == unbanned),
        "{asked:?}"
    );
    let last = bench.sources.audit.last(2).unwrap();
    let seen: Vec<_> = last.iter().map(|one| [one.what.as_str(), one.outcome.as_str()]).collect();
    assert_eq!(seen, [["unban", "refused"], ["unban", "done"]]);
}

#[tokio::test]
async fn an_operator_says_that_the_appliance_is_about_to_go() {
    let bench = Bench::new();
    let leaving = bench.sources.leaving.subscribe();
    assert_eq!(bench.ask("POST", "/v1/leave", "look", "").await.0, StatusCode::FORBIDDEN);
    for (path, is_leaving) in [("/v1/leave", true), ("/v1/stay", false)] {
        let (status, body) = bench.ask("POST", path, "change", "").await;
        assert_eq!((status, body), (StatusCode::OK, json!({ "leaving": is_leaving }).to_string()));
        assert_eq!(*leaving.borrow(), is_leaving);
    }
}

#[tokio::test]
async fn members_are_drained_and_it_is_written_down() {
    let bench = Bench::new();
    let path = "/v1/destinations/core/192.0.2.2:5060";
    let (status, body) = bench.ask("POST", &format!("{path}/drain"), "change", "").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let (_, members) = bench.ask("GET", "/v1/destinations", "look", "").await;
    assert!(members.contains("\"draining\""), "{members}");
    assert_eq!(bench.ask("POST", &format!("{path}/undrain"), "change", "").await.0, StatusCode::OK);
    let other = "/v1/destinations/cor/192.0.2.2:5060/drain";
    let (status, body) = bench.ask("POST", other, "change", "").await;
    assert_eq!((status, body.contains("there are: core")), (StatusCode::NOT_FOUND, true), "{body}");
    let (_, audit) = bench.ask("GET", "/v1/audit?limit=9", "change", "").await;
    let audit: Value = serde_json::from_str(&audit).unwrap();
    assert_fits(&audit[0], "AuditEntry");
    let seen: Vec<_> = (0..3).map(|at| (&audit[at]["what"], &audit[at]["outcome"])).collect();
    assert_eq!(json!(seen), json!([["drain", "done"], ["undrain", "done"], ["drain", "refused"]]));
    assert_eq!(audit[0]["who"], "token ops");
}

#[tokio::test]
async fn wishes_are_passed_on_and_answered() {
    let mut bench = Bench::new();
    let (_, never) = Wishes::channel();
    let mut wished = std::mem::replace(&mut bench.wished, never);
    let seen = tokio::spawn(async move {
        let mut seen = Vec::new();
        let verdicts =
            [Verdict::WouldChange, Verdict::InForce, Verdict::Broken, Verdict::NeedsRestart];
        for verdict in verdicts {
            let (wish, answer) = wished.recv().await.unwrap();
            answer.send(Report::new(verdict, 3)).unwrap();
            seen.push((wish.source, wish.extent, wish.who));
        }
        seen
    });
    let ask = async |path: &str, body: &str| {
        let (status, body) = bench.ask("POST", path, "change", body).await;
        assert_fits(&serde_json::from_str(&body).unwrap(), "Report");
        status
    };
    assert_eq!(ask("/v1/configuration/diff", "x = 1").await, StatusCode::OK);
    assert_eq!(ask("/v1/configuration/reload", "{\"partial\": true}").await, StatusCode::OK);
    let status = ask("/v1/configuration/rollback", "{\"generation\": 2}").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(ask("/v1/configuration/rollback", "").await, StatusCode::CONFLICT);
    let who = || "token ops".to_owned();
    let expected = vec![
        (Source::Text("x = 1".into()), Extent::DryRun, who()),
        (Source::File, Extent::Partial, who()),
        (Source::Generation(2), Extent::Whole, who()),
        (Source::Previous, Extent::Whole, who()),
    ];
    assert_eq!(seen.await.unwrap(), expected);
    let (status, body) =
        bench.ask("POST", "/v1/configuration/reload", "change", "{\"parts\": 1}").await;
    assert_eq!((status, body.contains("parts")), (StatusCode::BAD_REQUEST, true), "{body}");
    assert!(endpoints().iter().all(|endpoint| endpoint.method != Method::PUT));
}
