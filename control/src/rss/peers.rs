//! Flows from a peer list: CSV with a line for each flow.

use anyhow::{Context, Result, anyhow, ensure};
use csv::{ReaderBuilder, StringRecord, Trim};
use nic_config::rss::Tuple;
use nic_config::rss::planner::Flow;
use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// The columns, in any order; further ones are left alone.
const COLUMNS: [&str; 5] = ["source", "source_port", "destination", "destination_port", "weight"];

/// Reads a peer list.
///
/// # Errors
/// With the number of the first line that is wrong, and why.
pub fn read(path: &Path) -> Result<Vec<Flow>> {
    let name = path.display();
    let file = File::open(path).with_context(|| format!("{name} cannot be read"))?;
    let mut reader =
        ReaderBuilder::new().trim(Trim::All).comment(Some(b'#')).flexible(true).from_reader(file);
    let headers = reader.headers().with_context(|| format!("{name}: is no CSV"))?.clone();
    let columns = columns(&headers).with_context(|| format!("{name}:1"))?;
    let mut flows = Vec::new();
    for record in reader.records() {
        let record = record.with_context(|| format!("{name}: is no CSV"))?;
        let line = record.position().map_or(0, csv::Position::line);
        flows.push(flow(&record, columns).with_context(|| format!("{name}:{line}"))?);
    }
    ensure!(!flows.is_empty(), "{name}: no flow is in it; write one line for each peer");
    Ok(flows)
}

fn columns(headers: &StringRecord) -> Result<[usize; COLUMNS.len()]> {
    let mut places = [0; COLUMNS.len()];
    for (place, column) in places.iter_mut().zip(COLUMNS) {
        let found = headers.iter().position(|header| header == column);
        *place = found.with_context(|| {
            format!("no column {column:?}; the first line names the columns: {}", COLUMNS.join(","))
        })?;
    }
    Ok(places)
}

fn flow(record: &StringRecord, columns: [usize; COLUMNS.len()]) -> Result<Flow> {
    let [source, source_port, destination, destination_port, weight] = columns;
    let field = |column: usize| {
        record.get(column).filter(|text| !text.is_empty()).with_context(|| {
            let name = columns.iter().position(|place| *place == column).map(|at| COLUMNS[at]);
            format!("has no {}", name.unwrap_or_default())
        })
    };
    let end = |address, port| -> Result<SocketAddr> {
        let (address, port) = (field(address)?, field(port)?);
        let ip: IpAddr = address.parse().map_err(|_| anyhow!("{address:?} is no IP address"))?;
        Ok((ip, port.parse().map_err(|_| anyhow!("{port:?} is no port"))?).into())
    };
    let tuple = Tuple::new(end(source, source_port)?, end(destination, destination_port)?)?;
    let weight = field(weight)?;
    let number = weight.parse().ok().filter(|number: &f64| *number > 0.0 && number.is_finite());
    let weight = number.with_context(|| format!("weight {weight}: write a number above 0"))?;
    Ok(Flow { tuple, weight })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Result<Vec<Flow>> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("peers.csv");
        std::fs::write(&path, text).expect("written");
        read(&path)
    }

    #[test]
    fn columns_may_stand_in_any_order() {
        let flows = list(
            "\u{feff}weight, name ,source,source_port,destination,destination_port\n# a comment\n\
             2.5,north,192.0.2.1,5060,198.51.100.1,5080\n3,south,2001:db8::1,5060,2001:db8::2,5060\n",
        );
        let flows = flows.expect("a list");
        assert_eq!(flows[0].tuple.to_string(), "192.0.2.1:5060 -> 198.51.100.1:5080");
        assert!((flows[0].weight - 2.5).abs() < 1e-9 && flows.len() == 2);
    }

    #[test]
    fn a_wrong_line_is_named_with_its_reason() {
        let head = "source,source_port,destination,destination_port,weight\n";
        let good = "192.0.2.1,5060,198.51.100.1,5060,1\n";
        let cases = [
            ("192.0.2,5060,198.51.100.1,5060,1", ":3: \"192.0.2\" is no IP address"),
            ("192.0.2.1,70000,198.51.100.1,5060,1", ":3: \"70000\" is no port"),
            ("192.0.2.1,5060,198.51.100.1,5060", ":3: has no weight"),
            ("192.0.2.1,5060,198.51.100.1,5060,0", ":3: weight 0: write a number above 0"),
            ("192.0.2.1,5060,198.51.100.1,5060,-4", ":3: weight -4: "),
            ("192.0.2.1,5060,198.51.100.1,5060,NaN", ":3: weight NaN: "),
            ("192.0.2.1,5060,2001:db8::1,5060,1", "of two families"),
        ];
        for (line, why) in cases {
            let error = format!("{:#}", list(&format!("{head}{good}{line}\n")).expect_err("wrong"));
            assert!(error.contains(why), "{error}");
        }
        let error = format!("{:#}", list(head).expect_err("empty"));
        assert!(error.contains("no flow is in it"), "{error}");
        for text in ["", "192.0.2.1,5060,198.51.100.1,5060,1\n"] {
            let error = format!("{:#}", list(text).expect_err("no columns"));
            assert!(error.contains(":1: no column \"source\""), "{error}");
        }
    }
}
