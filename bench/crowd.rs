//! Many pods at once: 200, 16 at a time.

use crate::cases;
use crate::contender::{Contender, Operation, Who};
use crate::figures::{Row, Table};
use crate::measure::{Sample, meter, order};
use crate::networks::INTERFACES;
use crate::server::Server;
use crate::stage::{Pod, Stage};

/// With networks in files.
pub(crate) const FILES: &str = "200 pods, files";
/// With networks by the API server.
pub(crate) const SERVER: &str = "200 pods, API server";

/// Pods of each contender.
const PODS: usize = 200;
/// Pods that come together: in waves the contenders have their turns.
const WAVE: usize = 50;
const AT_A_TIME: usize = 16;
/// ADD of all, then DEL of all; in the table as pods a second, and as milliseconds for each pod.
pub(crate) fn many_pods(stage: &Stage, server: &Server, _: usize, table: &mut Table) {
    let of = |contenders: Vec<Contender>, those: &[Who]| -> Vec<Contender> {
        contenders.into_iter().filter(|contender| those.contains(&contender.who)).collect()
    };
    let from_files = of(cases::contenders_from_files(stage), &[Who::Floor, Who::Native, Who::Executed]);
    crowd(stage, FILES, from_files, |_| {}, table);
    let by_server = of(server.contenders(stage), &[Who::Native, Who::Multus]);
    crowd(stage, SERVER, by_server, |pod| server.create_pod(pod), table);
}

fn crowd(stage: &Stage, case: &'static str, contenders: Vec<Contender>, prepare: impl Fn(&Pod), table: &mut Table) {
    let mut samples: Vec<[Vec<Sample>; 2]> = contenders.iter().map(|_| Default::default()).collect();
    for wave in 0..PODS / WAVE {
        for place in order(wave, contenders.len()) {
            let contender = &contenders[place];
            let pods = stage.add_pods(WAVE);
            pods.iter().for_each(&prepare);
            for (samples, operation) in samples[place].iter_mut().zip([Operation::Add, Operation::Del]) {
                let words: Vec<Vec<String>> = pods.iter().map(|pod| contender.words(operation, pod)).collect();
                samples.push(each(meter(stage, AT_A_TIME, &words.join(&"--".to_owned()))));
                let expected: &[&str] = if operation == Operation::Add { &INTERFACES } else { &[] };
                for pod in &pods {
                    let who = contender.who.name();
                    assert_eq!(interfaces(stage, pod), expected, "{who}: {} after its {operation:?}", pod.name);
                }
            }
            stage.remove_pods(&pods);
        }
    }
    for (contender, samples) in contenders.iter().zip(samples) {
        for (samples, operation) in samples.into_iter().zip([Operation::Add, Operation::Del]) {
            let row = Row::new(case, contender, operation, &samples, None);
            // Over all waves, and not the median wave's.
            let seconds: f64 = samples.iter().map(|sample| sample.wall.as_secs_f64()).sum();
            table.push(Row { rate: Some(samples.len() as f64 / seconds), ..row });
        }
    }
}

/// One pod's share.
fn each(crowd: Sample) -> Sample {
    let pods = u32::try_from(WAVE).unwrap();
    Sample { wall: crowd.wall / pods, processor: crowd.processor / pods, ..crowd }
}

/// The pod's interfaces, sorted, by the cheapest look at them.
fn interfaces(stage: &Stage, pod: &Pod) -> Vec<String> {
    let list = stage.netns(pod).ok(&["cat", "/proc/net/dev"]);
    let names = list.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim().to_owned());
    let mut names: Vec<String> = names.filter(|name| name != "lo").collect();
    names.sort();
    names
}
