{{- define "tidegate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "tidegate.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- $own := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $own .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- define "tidegate.selector" -}}
app.kubernetes.io/name: {{ include "tidegate.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "tidegate.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "tidegate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "tidegate.serviceAccount" -}}
{{- default (ternary (include "tidegate.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name }}
{{- end }}

{{- define "tidegate.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end }}
{{- end }}

{{/* What a container may do: nothing that a server needs not. */}}
{{- define "tidegate.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "tidegate.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* Seconds from a pod's deletion to its end: the sleep, the drain, the 5 s of tidegate's own deadline, a margin. */}}
{{- define "tidegate.graceSeconds" -}}
{{- $drain := ceil .Values.config.server.drain_seconds | int }}
{{- add .Values.termination.preStopSeconds $drain 5 .Values.termination.marginSeconds }}
{{- end }}

{{/* A value in TOML, on one line. Helm's own toToml writes 8000 as 8000.0. */}}
{{- define "tidegate.toml" -}}
{{- if kindIs "map" . -}}
{ {{- range $index, $key := keys . | sortAlpha }}{{ if $index }},{{ end }} {{ $key }} = {{ include "tidegate.toml" (get $ $key) }}{{ end }} }
{{- else if kindIs "slice" . -}}
[{{- range $index, $value := . }}{{ if $index }}, {{ end }}{{ include "tidegate.toml" $value }}{{ end }}]
{{- else -}}
{{ toRawJson . }}
{{- end }}
{{- end }}

{{/* The pod's own address is allowed as a name: Kubernetes' probes and Prometheus ask by it. Pages cannot forge it. */}}
{{- define "tidegate.allowedHosts" -}}
{{- $name := include "tidegate.fullname" . }}
{{- $inside := printf "%s.%s" $name .Release.Namespace }}
{{- $hosts := concat (default list .Values.config.server.allowed_hosts) (list $name $inside (printf "%s.svc" $inside) (printf "%s.svc.cluster.local" $inside)) }}
{{- if .Values.ingress.enabled }}{{ $hosts = concat $hosts .Values.ingress.hosts }}{{ end }}
{{- if .Values.httpRoute.enabled }}{{ $hosts = concat $hosts .Values.httpRoute.hostnames }}{{ end }}
{{- append $hosts "$(POD_IP)" | uniq | toRawJson }}
{{- end }}

{{/* What cannot work is refused here, before it is in the cluster. */}}
{{- define "tidegate.refuse" -}}
{{- $server := .Values.config.server }}
{{- $auth := default dict .Values.config.auth }}
{{- if not .Values.redis.url }}
{{- fail "redis.url is needed: the nodes share their streams there, e.g. --set redis.url=redis://redis:6379/0" }}
{{- end }}
{{- if not .Values.config.models }}
{{- fail "config.models is empty: name at least one model, as [[models]] in docs/configuration.md" }}
{{- end }}
{{- if not (or $auth.keys $auth.jwt_secret_env $auth.jwks_url) }}
{{- fail "config.auth is empty: tidegate does not start where others can reach it and everyone may do everything. Give auth.keys (tidegate key NAME makes one), auth.jwt_secret_env or auth.jwks_url" }}
{{- end }}
{{- if and (or .Values.ingress.enabled .Values.httpRoute.enabled) (eq (join "," $server.trusted_proxies) "127.0.0.1") }}
{{- fail "config.server.trusted_proxies is needed with an ingress: the range of the controller's pods, e.g. {10.244.0.0/16}; otherwise all clients are one" }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) }}
{{- fail "ingress.hosts is empty: name the host under which clients come" }}
{{- end }}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) }}
{{- fail "httpRoute.parentRefs is empty: name the Gateway" }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled (not .Values.serviceMonitor.existingSecret) }}
{{- fail "serviceMonitor.existingSecret is needed: /metrics wants a key with the scope metrics" }}
{{- end }}
{{- if .Values.serviceMonitor.enabled }}
{{- $scopes := list }}
{{- range $auth.keys }}{{ $scopes = concat $scopes (default list .scopes) }}{{ end }}
{{- if not (or (has "metrics" $scopes) (has "admin" $scopes)) }}
{{- fail "config.auth.keys has no key with the scope metrics, so Prometheus (serviceMonitor) would be refused: tidegate key prometheus --scope metrics makes one. A token would not do, since it expires" }}
{{- end }}
{{- if eq (toString .Values.config.observability.metrics) "false" }}
{{- fail "config.observability.metrics is false, so there is no /metrics for serviceMonitor: one of them has to change" }}
{{- end }}
{{- end }}
{{- end }}
