# Layer 2 of the haproxy family. Context: runtimes/. HAProxy itself is in the base; here come user, hooks, entry and gate.
ARG BASE=scratch
# Asked for by the build contract; nothing is compiled here.
ARG BUILDER=scratch

FROM ${BASE} AS base

FROM base AS layer
ARG TEMPLATE_VERSION
ARG SOURCE_DATE_EPOCH
COPY blessed/ /source/blessed/
COPY haproxy/ /source/haproxy/
RUN /source/blessed/bless haproxy "${TEMPLATE_VERSION}" && \
    cp /source/haproxy/gate /layer/opt/stele/gate && \
    /source/blessed/bless seal

FROM base
ARG TEMPLATE_VERSION
COPY --from=layer /layer/ /
LABEL stele.template="${TEMPLATE_VERSION}" stele.family="haproxy"
USER 10001:10001
EXPOSE 8080 9000
STOPSIGNAL SIGUSR1
ENTRYPOINT ["/opt/stele/run"]
