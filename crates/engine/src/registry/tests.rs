use async_trait::async_trait;
use model::{Annotations, Call, Health, Reply, ResultForm, Span};
use rstest::rstest;
use serde_json::json;

use super::*;

struct Shelf(Vec<Plugin>);

#[async_trait]
impl Runtime for Shelf {
    fn kind(&self) -> &'static str {
        "shelf"
    }

    fn plugins(&self) -> Vec<Plugin> {
        self.0.clone()
    }

    fn health(&self, _: &PluginName) -> Health {
        Health::Healthy
    }

    async fn call(&self, _: Call) -> Result<Reply<Value>> {
        Err(Error::not_found("plugin"))
    }
}

fn action(name: &str) -> Action {
    Action {
        name: ActionName::parse(name).unwrap(),
        title: String::new(),
        description: String::new(),
        input_schema: json!({ "type": "object" }),
        output_schema: None,
        result_form: ResultForm::Value,
        annotations: Annotations::PURE,
        span: Span::Short,
        timeout: Duration::from_secs(1),
    }
}

fn plugin(name: &str, actions: Vec<Action>) -> Plugin {
    Plugin {
        name: PluginName::parse(name).unwrap(),
        title: String::new(),
        description: String::new(),
        version: "1".to_owned(),
        actions,
        prompts: Vec::new(),
        resources: Vec::new(),
        resource_templates: Vec::new(),
        max_concurrency: 1,
    }
}

fn registry(shelves: Vec<Vec<Plugin>>) -> Result<Registry> {
    let shelves: Vec<_> = shelves
        .into_iter()
        .map(|plugins| Arc::new(Shelf(plugins)) as Arc<dyn Runtime>)
        .collect();
    Registry::new(&shelves)
}

fn refusal(plugins: Vec<Plugin>) -> String {
    registry(vec![plugins]).err().unwrap().message().to_owned()
}

#[test]
fn plugins_of_all_runtimes_are_found_and_listed_by_name() {
    let registry = registry(vec![
        vec![plugin("b", vec![action("x")])],
        vec![plugin("a", vec![])],
    ]);
    let registry = registry.unwrap();
    let names: Vec<_> = registry.iter().map(|held| held.plugin.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    let held = registry.find(&PluginName::parse("b").unwrap()).unwrap();
    assert!(held.action(&ActionName::parse("x").unwrap()).is_some());
    assert!(held.action(&ActionName::parse("y").unwrap()).is_none());
}

#[test]
fn e06_two_plugins_whose_names_differ_by_case_only_are_refused() {
    let error = registry(vec![vec![plugin("files", vec![])], vec![plugin("Files", vec![])]]).err();
    let message = error.unwrap().message().to_owned();
    assert_eq!(
        message,
        "Files has the same name as files; names must differ by more than case"
    );
}

#[test]
fn two_actions_whose_names_differ_by_case_only_are_refused() {
    let message = refusal(vec![plugin("a", vec![action("get"), action("Get")])]);
    assert_eq!(message, "a.Get differs from another action by case at most");
}

#[rstest]
#[case(json!({}), "a.get.inputSchema must be of type object")]
#[case(json!({"type": "object", "$schema": "other"}), "a.get.inputSchema.$schema must be draft 2020-12, or left out")]
fn an_input_schema_that_cannot_be_used_is_refused(#[case] input_schema: Value, #[case] expected: &str) {
    let wrong = Action {
        input_schema,
        ..action("get")
    };
    assert_eq!(refusal(vec![plugin("a", vec![wrong])]), expected);
}

#[test]
fn the_longest_timeout_is_that_of_the_slowest_action() {
    let slow = Action {
        timeout: Duration::from_secs(9),
        ..action("slow")
    };
    let registry = registry(vec![vec![plugin("a", vec![action("quick"), slow])]]).unwrap();
    assert_eq!(registry.longest_timeout(), Duration::from_secs(9));
}
