//! What a caller can choose from: tools, prompts and resources, by what it may use.

use engine::PromptRequest;
use model::{ErrorCode, PluginName, PromptName, ToolName};
use rstest::rstest;

use crate::{
    fixture::{World, code},
    library::world,
    prompt::filled,
    resource::read,
    shop::{admin, key, user},
};

fn tools(world: &World, principal: &model::Principal) -> Vec<String> {
    let tools = world.engine.tools(principal);
    tools.iter().map(|tool| tool.name.to_string()).collect()
}

#[test]
fn tools_stand_in_one_order_by_plugin_and_as_the_plugin_has_them() {
    let world = world();
    let expected = [
        "library__lend",
        "library__lendAndWrite",
        "library__ask",
        "library__content",
        "library__structured",
        "library__log",
        "vault__open",
    ];
    for principal in [user(1), admin(), key(1, &["plugins:execute"])] {
        assert_eq!(tools(&world, &principal), expected);
    }
}

#[test]
fn b03_a_key_sees_the_tools_prompts_and_resources_that_it_may_use_and_no_others() {
    let world = world();
    let narrow = key(1, &["plugins:execute:vault"]);
    assert_eq!(tools(&world, &narrow), ["vault__open"]);
    let prompts = world.engine.prompts(&narrow);
    let prompts: Vec<_> = prompts.iter().map(|view| view.plugin.as_str()).collect();
    assert_eq!(prompts, ["vault"]);
    let resources = world.engine.resources(&narrow);
    let resources: Vec<_> = resources.iter().map(|view| view.resource.uri.as_str()).collect();
    assert_eq!(resources, ["vault://catalogue"]);
    assert!(world.engine.resource_templates(&narrow).is_empty());
    let blind = key(1, &["history:read"]);
    assert!(tools(&world, &blind).is_empty() && world.engine.prompts(&blind).is_empty());
    assert!(world.engine.resources(&blind).is_empty());
}

#[tokio::test]
async fn b03_what_is_not_listed_cannot_be_used() {
    let world = world();
    let narrow = key(1, &["plugins:execute:vault"]);
    let tool = ToolName::parse("library__lend").unwrap();
    assert_eq!(
        code(world.engine.find_tool(&narrow, &tool)),
        ErrorCode::InsufficientScope
    );
    let request = PromptRequest {
        plugin: PluginName::parse("library").unwrap(),
        prompt: PromptName::parse("recommend").unwrap(),
        arguments: [("genre".to_owned(), "crime".to_owned())].into(),
        answers: model::Answers::default(),
    };
    assert_eq!(
        code(world.engine.fill_prompt(&narrow, request).await),
        ErrorCode::InsufficientScope
    );
    for uri in ["library://catalogue", "library://shelf/a"] {
        assert_eq!(
            code(read(&world, &narrow, uri).await),
            ErrorCode::InsufficientScope
        );
    }
    assert!(read(&world, &narrow, "vault://catalogue").await.is_ok());
    assert!(filled(&world, "recommend", &[("genre", "crime")]).await.is_ok());
}

#[rstest]
#[case("library__lend", None)]
#[case("library__lost", Some(ErrorCode::NotFound))]
#[case("lost__lend", Some(ErrorCode::NotFound))]
fn a_tool_is_found_by_its_name(#[case] name: &str, #[case] refused: Option<ErrorCode>) {
    let world = world();
    let found = world.engine.find_tool(&user(1), &ToolName::parse(name).unwrap());
    assert_eq!(found.as_ref().err().map(model::Error::code), refused);
    assert!(found.is_ok_and(|tool| tool.name.to_string() == name) || refused.is_some());
}
