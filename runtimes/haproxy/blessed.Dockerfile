# Layer 2 of the haproxy family: one layer on top of the base image.
ARG BASE=scratch
ARG BUILDER=scratch
FROM ${BUILDER} AS layer
ARG TEMPLATE_VERSION
COPY --from=blessed / /blessed/
COPY layer/ /layer/
RUN mkdir -p /layer/etc/stele && echo "${TEMPLATE_VERSION}" > /layer/etc/stele/template

FROM ${BASE}
COPY --from=layer /layer/ /
