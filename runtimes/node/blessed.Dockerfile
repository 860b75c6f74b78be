# Layer 2 of the node family. Context: runtimes/. One layer on top of the base: everything is assembled in /layer first.
ARG BASE=scratch
ARG BUILDER=scratch

FROM ${BUILDER} AS libraries
WORKDIR /source
COPY node/package.json node/package-lock.json ./
RUN --mount=type=secret,id=ca,target=/run/secrets/ca \
    --mount=type=secret,id=npmrc,target=/root/.npmrc \
    --mount=type=cache,id=stele-npm,target=/root/.npm \
    if [ -s /run/secrets/ca ]; then export NODE_EXTRA_CA_CERTS=/run/secrets/ca; fi; \
    npm ci --omit=dev --ignore-scripts --no-audit --no-fund --no-update-notifier && rm -f node_modules/.package-lock.json

FROM ${BASE} AS base

FROM base AS layer
ARG TEMPLATE_VERSION
ARG SOURCE_DATE_EPOCH
COPY blessed/ /source/blessed/
COPY node/ /source/node/
COPY --from=libraries /source/node_modules/ /libraries/
RUN /source/blessed/bless node "${TEMPLATE_VERSION}" && \
    cp /source/node/src/*.js /layer/opt/stele/lib/ && \
    cp -R /libraries /layer/opt/stele/lib/node_modules && \
    /source/blessed/bless seal

FROM base
ARG TEMPLATE_VERSION
COPY --from=layer /layer/ /
LABEL stele.template="${TEMPLATE_VERSION}" stele.family="node"
USER 10001:10001
EXPOSE 8080 9000
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/stele/run"]
