{{/*
Labels of an object. Called with a dict: root, component (may be empty).
*/}}
{{- define "carina-tasks.labels" -}}
{{ include "carina-tasks.podLabels" . }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{/* Labels of pods: without versions, so that a new chart alone starts no pod again. */}}
{{- define "carina-tasks.podLabels" -}}
app.kubernetes.io/name: {{ .name | default "carina-tasks" }}
app.kubernetes.io/part-of: carina
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{- define "carina-tasks.selector" -}}
app.kubernetes.io/name: carina-tasks
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* metadata of an object: root, object (its name), component, values (may have annotations) */}}
{{- define "carina-tasks.metadata" -}}
name: {{ .object }}
namespace: {{ .root.Release.Namespace }}
{{ include "carina-tasks.clusterMetadata" . }}
{{- end }}

{{/* The same without name and namespace. labels: more of them. */}}
{{- define "carina-tasks.clusterMetadata" -}}
labels:
  {{- include "carina-tasks.labels" . | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge dict ((.values).annotations | default dict) (.root.Values.commonAnnotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "carina-tasks.image" -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default .appVersion | required (printf "the image %s needs a tag or a digest" .repository) }}{{ end }}
{{- end }}

{{- define "carina-tasks.ourImage" -}}
{{ include "carina-tasks.image" (merge (dict "appVersion" .Chart.AppVersion) .Values.image) }}
{{- end }}

{{- define "carina-tasks.nodeImage" -}}
{{- $own := .Values.node.image }}
{{- if and .Values.image.digest (not $own.digest) (not $own.tag) }}
{{- fail "image.digest names one image, and the node workers have another: set node.image.digest, or node.image.tag to take it by its tag" }}
{{- end }}
{{- $repository := $own.repository | default (printf "%s-node" .Values.image.repository) }}
{{- $tag := $own.tag | default .Values.image.tag }}
{{- include "carina-tasks.image" (dict "repository" $repository "tag" $tag "digest" $own.digest "appVersion" .Chart.AppVersion) }}
{{- end }}

{{/* Where a pod goes: root, values, component; spread: true is never two on one node. */}}
{{- define "carina-tasks.placement" -}}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .values.affinity }}
affinity:
  {{- toYaml .values.affinity | nindent 2 }}
{{- else if .spread }}
affinity:
  podAntiAffinity:
    # Required: two on one node are lost with it.
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            {{- include "carina-tasks.selector" . | nindent 12 }}
{{- end }}
{{- with .values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Annotations of a pod: root, values, metrics: true where it serves them. */}}
{{- define "carina-tasks.podAnnotations" -}}
checksum/settings: {{ include "carina-tasks.settings" .root | sha256sum }}
checksum/credentials: {{ include "carina-tasks.credentialsSum" .root }}
{{- if .metrics }}
prometheus.io/scrape: "true"
prometheus.io/port: "9108"
{{- end }}
{{- with merge dict (.values.podAnnotations | default dict) (.root.Values.commonAnnotations | default dict) }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "carina-tasks.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "carina-tasks.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "carina-tasks.profile" -}}
{{ eq .Values.node.credentials "shared" | ternary "open" "sealed" }}
{{- end }}

{{/* The settings as text. A number of Helm's is a float: a whole one must not become 1.6e+07. */}}
{{- define "carina-tasks.settings" -}}
{{- range $name, $value := .Values.settings }}
{{- if kindIs "slice" $value }}
{{ $name }}: {{ join "," $value | quote }}
{{- else if and (kindIs "float64" $value) (eq (floor $value) $value) }}
{{ $name }}: {{ int64 $value | toString | quote }}
{{- else }}
{{ $name }}: {{ $value | toString | quote }}
{{- end }}
{{- end }}
{{- end }}

{{- define "carina-tasks.settingsFrom" -}}
envFrom:
  - configMapRef: {name: carina-tasks-settings}
{{- end }}

{{/* How a process reaches the broker: root, key of the Secret (empty: the URL comes another way). */}}
{{- define "carina-tasks.brokerEnv" -}}
{{- $broker := .root.Values.broker }}
{{- with .key }}
- name: CARINA_TASKS_BROKER_URL
  valueFrom: {secretKeyRef: {name: {{ $broker.existingSecret | default "carina-tasks-redis" }}, key: {{ . }}}}
{{- end }}
{{- if $broker.ca.existingSecret }}
- {name: CARINA_TASKS_BROKER_CA, value: {{ printf "/etc/carina-tasks/broker-ca/%s" $broker.ca.key | quote }}}
{{- end }}
{{- if $broker.clientCertificate.existingSecret }}
- {name: CARINA_TASKS_BROKER_CERTIFICATE, value: /etc/carina-tasks/broker-client/tls.crt}
- {name: CARINA_TASKS_BROKER_KEY, value: /etc/carina-tasks/broker-client/tls.key}
{{- end }}
{{- with $broker.sentinel }}
{{- if .masterName }}
- {name: CARINA_TASKS_BROKER_MASTER_NAME, value: {{ .masterName | quote }}}
{{- end }}
{{- if .user }}
- {name: CARINA_TASKS_SENTINEL_USER, value: {{ .user | quote }}}
{{- end }}
{{- if .existingSecret }}
- name: CARINA_TASKS_SENTINEL_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .key }}}}
{{- end }}
{{- end }}
{{- end }}

{{- define "carina-tasks.metricsEnv" -}}
- {name: CARINA_TASKS_METRICS_PORT, value: "9108"}
{{- end }}

{{/* A component's own variable wins over that of all: a name may be in a list once. */}}
{{- define "carina-tasks.extraEnv" -}}
{{- $own := .values.extraEnv | default list }}
{{- $names := list }}
{{- range $own }}
{{- $names = append $names .name }}
{{- end }}
{{- $all := list }}
{{- range .root.Values.extraEnv }}
{{- if not (has .name $names) }}
{{- $all = append $all . }}
{{- end }}
{{- end }}
{{- with concat $all $own }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "carina-tasks.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if .Values.broker.ca.existingSecret }}
- {name: broker-ca, mountPath: /etc/carina-tasks/broker-ca, readOnly: true}
{{- end }}
{{- if .Values.broker.clientCertificate.existingSecret }}
- {name: broker-client, mountPath: /etc/carina-tasks/broker-client, readOnly: true}
{{- end }}
{{- end }}

{{- define "carina-tasks.volumes" -}}
- name: tmp
  emptyDir: {}
{{- with .Values.broker.ca.existingSecret }}
- name: broker-ca
  secret: {secretName: {{ . }}}
{{- end }}
{{- with .Values.broker.clientCertificate.existingSecret }}
- name: broker-client
  secret: {secretName: {{ . }}}
{{- end }}
{{- end }}

{{/* Probes of a process that serves metrics; period: seconds between two questions whether it lives. */}}
{{- define "carina-tasks.probes" -}}
livenessProbe:
  httpGet: {path: /livez, port: metrics}
  initialDelaySeconds: 20
  periodSeconds: {{ .period }}
  timeoutSeconds: {{ .timeout }}
readinessProbe:
  httpGet: {path: /readyz, port: metrics}
  periodSeconds: 20
  timeoutSeconds: 15
{{- end }}

{{- define "carina-tasks.deniesCarina" -}}
{{- $wanted := toString .Values.carina.denyFailover }}
{{- /* Asked by version: `helm template` knows no kinds of the API server. */}}
{{- $served := semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version }}
{{- if or (eq $wanted "true") (and (eq $wanted "auto") $served) }}yes{{ end }}
{{- end }}
