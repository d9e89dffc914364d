//! The history of calls.

use model::{Error, Execution, ExecutionFilter, ExecutionId, Permission, Principal, Result};

use crate::{
    cursor::{ListScope, Listing, PageQuery},
    parts::Engine,
    principal::visible_owner,
};

impl Engine {
    /// Lists executions: one's own, or everyone's for an admin.
    ///
    /// # Errors
    /// `Invalid` for a `user_id` in the filter of anyone but an admin, and for a foreign cursor; `Forbidden`
    /// without the scope.
    pub async fn list_executions(
        &self,
        principal: &Principal,
        filter: ExecutionFilter,
        page: PageQuery<()>,
    ) -> Result<Listing<Execution>> {
        principal.require(&Permission::ReadHistory)?;
        let filter = narrow(principal, filter)?;
        let list = ListScope {
            name: "executions",
            subject: principal.subject,
            filter: &filter,
        };
        let request = self.parts.cursors.request(&list, &page)?;
        let found = self.parts.store.list_executions(&filter, &request).await?;
        self.parts.cursors.listing(&list, &page, found)
    }

    /// Reads one execution: one's own, or any for an admin.
    ///
    /// # Errors
    /// `NotFound` when there is none, or it is another's.
    pub async fn execution(&self, principal: &Principal, id: ExecutionId) -> Result<Execution> {
        principal.require(&Permission::ReadHistory)?;
        let owner = visible_owner(principal)?;
        let found = self.parts.store.find_execution(id, owner).await?;
        found.ok_or_else(|| Error::not_found("execution"))
    }
}

fn narrow(principal: &Principal, filter: ExecutionFilter) -> Result<ExecutionFilter> {
    match visible_owner(principal)? {
        None => Ok(filter),
        Some(_) if filter.user_id.is_some() => Err(Error::invalid("userId", "can be given by an admin only")),
        own => Ok(ExecutionFilter {
            user_id: own,
            ..filter
        }),
    }
}
