# Layers 3 (flows) and 4 (configuration) of a task-runner runtime. Context: the runtime's folder.
ARG BLESSED=scratch
# Asked for by the build contract; nothing is compiled here.
ARG BUILDER=scratch

FROM ${BLESSED} AS blessed

FROM blessed AS layer
ARG SOURCE_DATE_EPOCH
# Root in a build stage only: the image ends as another user.
# hadolint ignore=DL3002
USER 0:0
COPY flows/ /flows/opt/stele/flows/
COPY config/ /config/opt/stele/config/
RUN chmod -R u=rwX,go=rX /flows /config && \
    find /flows /config -exec touch --no-dereference --date "@${SOURCE_DATE_EPOCH}" {} +

FROM blessed
ARG RUNTIME
USER 10001:10001
LABEL org.opencontainers.image.title="${RUNTIME}" stele.runtime="${RUNTIME}" stele.family="task-runner"
COPY --from=layer /flows/ /
COPY --from=layer /config/ /
