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
# A fresh volume takes its owner from the folder that it is mounted over: one for each runtime with a volume.
ARG VOLUMES
COPY flows/ /flows/opt/stele/flows/
COPY config/ /config/opt/stele/config/
RUN chmod -R u=rwX,go=rX /flows /config && \
    for name in . ${VOLUMES}; do install -d -o 10001 -g 10001 -m 0750 /flows/data "/flows/data/volumes/${name}"; done && \
    find /flows /config -exec touch --no-dereference --date "@${SOURCE_DATE_EPOCH}" {} +

FROM blessed
ARG RUNTIME
USER 10001:10001
LABEL org.opencontainers.image.title="${RUNTIME}" stele.runtime="${RUNTIME}" stele.family="task-runner"
COPY --from=layer /flows/ /
COPY --from=layer /config/ /
