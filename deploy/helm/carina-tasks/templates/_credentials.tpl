{{/*
Passwords that the chart makes: kept over an upgrade by reading the Secrets that are there. `helm template` reads no cluster
and makes new ones each time, so with it (and with GitOps) name existing Secrets. Made once in a run: in .Values, which all
templates share.
*/}}
{{- define "carina-tasks.makeCredentials" -}}
{{- if not (hasKey .Values "made") }}
{{- $redis := (lookup "v1" "Secret" .Release.Namespace "carina-tasks-redis").data | default dict }}
{{- $flower := (lookup "v1" "Secret" .Release.Namespace "carina-tasks-flower").data | default dict }}
{{- $made := dict }}
{{- range tuple "control" "flower" }}
{{- $old := get $redis (printf "%s-password" .) }}
{{- $_ := set $made . ($old | empty | ternary (randAlphaNum 32) (b64dec $old)) }}
{{- end }}
{{- $old := get $flower "basic-auth" }}
{{- $_ := set $made "basicAuth" ($old | empty | ternary (printf "operator:%s" (randAlphaNum 32)) (b64dec $old)) }}
{{- $_ := set .Values "made" $made }}
{{- end }}
{{- end }}

{{- define "carina-tasks.credentialsSum" -}}
{{- if and .Values.broker.bundled.enabled (not .Values.broker.existingSecret) }}
{{- include "carina-tasks.makeCredentials" . }}
{{- printf "%s %s" .Values.made.control .Values.made.flower | sha256sum }}
{{- else }}
{{- printf "%s %s %s" .Values.broker.existingSecret .Values.broker.ca.existingSecret .Values.broker.sentinel.existingSecret | sha256sum }}
{{- end }}
{{- end }}
