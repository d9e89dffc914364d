use async_trait::async_trait;
use model::{
    Annotations, Call, Health, Prompt, PromptArgument, PromptName, Reply, Resource, ResourceTemplate,
    ResultForm, Span,
};
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
fn a_tool_whose_name_is_too_long_with_its_plugin_s_is_refused() {
    let plugin_name = "a".repeat(32);
    let of_length = |chars: usize| plugin(&plugin_name, vec![action(&"b".repeat(chars))]);
    assert!(registry(vec![vec![of_length(30)]]).is_ok());
    let message = refusal(vec![of_length(31)]);
    assert!(
        message.ends_with("must have at most 64 characters with its plugin's name"),
        "{message}"
    );
}

fn prompt(name: &str, arguments: &[&str]) -> Prompt {
    let arguments = arguments.iter().map(|name| PromptArgument {
        name: (*name).to_owned(),
        description: String::new(),
        is_required: false,
    });
    Prompt {
        name: PromptName::parse(name).unwrap(),
        title: String::new(),
        description: String::new(),
        arguments: arguments.collect(),
    }
}

#[rstest]
#[case(vec![prompt("x", &[]), prompt("X", &[])], "a.prompts.X differs from another prompt by case at most")]
#[case(vec![prompt("x", &["b", "b"])], "a.prompts.x must have at most 64 arguments, with names of their own of 1 to 64 bytes")]
#[case(vec![prompt("x", &[""])], "a.prompts.x must have at most 64 arguments, with names of their own of 1 to 64 bytes")]
fn prompts_that_cannot_be_told_apart_are_refused(#[case] prompts: Vec<Prompt>, #[case] expected: &str) {
    let plugin = Plugin {
        prompts,
        ..plugin("a", Vec::new())
    };
    assert_eq!(refusal(vec![plugin]), expected);
}

/// A plugin with resources, and patterns of them where there is an expression.
fn shelf(name: &str, addresses: &[&str]) -> Plugin {
    let (patterns, fixed): (Vec<&str>, Vec<&str>) = addresses.iter().partition(|uri| uri.contains('{'));
    let resource = |uri: &str| Resource {
        uri: uri.to_owned(),
        name: String::new(),
        title: String::new(),
        description: String::new(),
        mime_type: None,
    };
    let template = |uri: &str| ResourceTemplate {
        uri_template: uri.to_owned(),
        name: String::new(),
        title: String::new(),
        description: String::new(),
        mime_type: None,
    };
    Plugin {
        resources: fixed.into_iter().map(resource).collect(),
        resource_templates: patterns.into_iter().map(template).collect(),
        ..plugin(name, Vec::new())
    }
}

#[rstest]
#[case::same_address(&["x://1"], &["x://1"])]
#[case::address_within_a_pattern(&["x://{n}"], &["x://1"])]
#[case::pattern_around_an_address(&["x://1"], &["x://{n}"])]
#[case::same_pattern(&["x://{n}"], &["x://{m}"])]
#[case::pattern_within_a_pattern(&["x://{+n}"], &["x://a/{m}"])]
#[case::pattern_around_a_pattern(&["x://a/{m}"], &["x://{+n}"])]
fn e06_an_address_that_leads_to_two_plugins_is_refused(#[case] first: &[&str], #[case] second: &[&str]) {
    let refused = registry(vec![vec![shelf("a", first)], vec![shelf("b", second)]]);
    let message = refused.err().unwrap().message().to_owned();
    assert!(message.contains("resource of a"), "{message}");
    assert!(
        registry(vec![
            vec![shelf("a", first)],
            vec![shelf("b", &["y://1", "y://{n}"])]
        ])
        .is_ok()
    );
}

#[test]
fn one_plugin_may_have_addresses_that_overlap_but_not_one_twice() {
    assert!(registry(vec![vec![shelf("a", &["x://{n}", "x://1", "x://{+n}"])]]).is_ok());
    assert!(registry(vec![vec![shelf("a", &["x://1", "x://1"])]]).is_err());
}

#[rstest]
#[case("mcp-server://tasks/1")]
#[case("mcp-server://tasks/{id}")]
#[case("{+anything}")]
#[case("no address")]
fn e06_a_plugin_cannot_take_the_server_s_own_addresses_or_all(#[case] uri: &str) {
    assert!(registry(vec![vec![shelf("a", &[uri])]]).is_err());
}

#[test]
fn an_address_leads_to_its_plugin() {
    let shelves = vec![shelf("a", &["x://1", "x://more/{n}"]), shelf("b", &["y://{n}"])];
    let registry = registry(vec![shelves]).unwrap();
    let owner = |uri: &str| {
        registry
            .find_by_address(uri)
            .map(|held| held.plugin.name.to_string())
    };
    assert_eq!(owner("x://1").as_deref(), Some("a"));
    assert_eq!(owner("x://more/2").as_deref(), Some("a"));
    assert_eq!(owner("y://2").as_deref(), Some("b"));
    assert_eq!(owner("x://2"), None);
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
