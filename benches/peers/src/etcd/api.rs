//! The two calls of etcd's interface that the load needs, by field number: `etcdserverpb.KV` of
//! `api/etcdserverpb/rpc.proto`. Fields that the load does not look at are left out; a decoder passes over them.

use bytes::Bytes;
use prost::Message;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

const PUT: &str = "/etcdserverpb.KV/Put";
const RANGE: &str = "/etcdserverpb.KV/Range";

/// Writes one key.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) value: Bytes,
}

/// It is written.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct PutResponse {}

/// Reads one key, linearizably.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct RangeRequest {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) key: Bytes,
}

/// What was found.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct RangeResponse {
    #[prost(message, repeated, tag = "2")]
    pub(crate) pairs: Vec<Pair>,
}

/// A key and its value.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Pair {
    #[prost(bytes = "bytes", tag = "5")]
    pub(crate) value: Bytes,
}

/// One client; it shares its connection with others.
#[derive(Debug)]
pub(crate) struct Client {
    grpc: Grpc<Channel>,
}

impl Client {
    pub(crate) fn new(channel: Channel) -> Self {
        let grpc = Grpc::new(channel);
        Self { grpc }
    }

    pub(crate) async fn put(&mut self, request: PutRequest) -> Result<PutResponse, Status> {
        self.call(request, PUT).await
    }

    pub(crate) async fn range(&mut self, request: RangeRequest) -> Result<RangeResponse, Status> {
        self.call(request, RANGE).await
    }

    async fn call<Q, A>(&mut self, request: Q, path: &'static str) -> Result<A, Status>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let closed = |error| Status::unavailable(format!("no connection: {error}"));
        self.grpc.ready().await.map_err(closed)?;
        let path = PathAndQuery::from_static(path);
        let codec = ProstCodec::<Q, A>::default();
        let answer = self.grpc.unary(Request::new(request), path, codec).await?;
        Ok(answer.into_inner())
    }
}
