//! The history of calls.

use model::{Execution, ExecutionFilter, ExecutionId, Principal, Result};

use crate::{
    cursor::{Listing, PageQuery},
    parts::Engine,
};

impl Engine {
    /// Lists executions: one's own, or everyone's for an admin.
    ///
    /// # Errors
    /// `Invalid` for a `user_id` in the filter of anyone but an admin, and for a foreign cursor; `Forbidden`
    /// without the scope.
    pub async fn list_executions(
        &self,
        _principal: &Principal,
        _filter: ExecutionFilter,
        _page: PageQuery<()>,
    ) -> Result<Listing<Execution>> {
        todo!()
    }

    /// Reads one execution: one's own, or any for an admin.
    ///
    /// # Errors
    /// `NotFound` when there is none, or it is another's.
    pub async fn execution(&self, _principal: &Principal, _id: ExecutionId) -> Result<Execution> {
        todo!()
    }
}
