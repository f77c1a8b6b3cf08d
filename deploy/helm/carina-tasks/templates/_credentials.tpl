{{/*
Passwords that the chart makes: kept over an upgrade by reading the Secrets that are there. `helm template` reads no cluster
and makes new ones each time, so with it (and with GitOps) name existing Secrets. Made once in a run: in .Values, which all
templates share.
*/}}
{{- define "carina-tasks.makeCredentials" -}}
{{- if not (hasKey .Values "made") }}
{{- $redis := (lookup "v1" "Secret" .Release.Namespace "carina-tasks-redis").data | default dict }}
{{- $enrolment := (lookup "v1" "Secret" .Release.Namespace "carina-tasks-enrolment").data | default dict }}
{{- $flower := (lookup "v1" "Secret" .Release.Namespace "carina-tasks-flower").data | default dict }}
{{- $made := dict }}
{{- range tuple "control" "flower" }}
{{- $old := get $redis (printf "%s-password" .) }}
{{- $_ := set $made . ($old | empty | ternary (randAlphaNum 32) (b64dec $old)) }}
{{- end }}
{{- range $key, $length := dict "password" 32 "master-key" 64 }}
{{- $old := get $enrolment $key }}
{{- $_ := set $made $key ($old | empty | ternary (randAlphaNum $length) (b64dec $old)) }}
{{- end }}
{{- $tls := (lookup "v1" "Secret" .Release.Namespace "carina-tasks-enrolment-tls").data | default dict }}
{{- $ca := (lookup "v1" "ConfigMap" .Release.Namespace "carina-tasks-enrolment-ca").data | default dict }}
{{- if and (get $tls "tls.crt") (get $tls "tls.key") (get $ca "ca.crt") }}
{{- $_ := set $made "tls" (dict "crt" (b64dec (get $tls "tls.crt")) "key" (b64dec (get $tls "tls.key")) "ca" (get $ca "ca.crt")) }}
{{- else }}
{{- /* The authority signs this one certificate, and its key is kept nowhere. */}}
{{- $authority := genCA "carina-tasks-enrolment-ca" 3650 }}
{{- $name := "carina-tasks-enrolment" }}
{{- $names := list $name (printf "%s.%s" $name .Release.Namespace) (printf "%s.%s.svc" $name .Release.Namespace) }}
{{- $cert := genSignedCert $name nil $names 3650 $authority }}
{{- $_ := set $made "tls" (dict "crt" $cert.Cert "key" $cert.Key "ca" $authority.Cert) }}
{{- end }}
{{- $old := get $flower "basic-auth" }}
{{- $_ := set $made "basicAuth" ($old | empty | ternary (printf "operator:%s" (randAlphaNum 32)) (b64dec $old)) }}
{{- $_ := set .Values "made" $made }}
{{- end }}
{{- end }}

{{- define "carina-tasks.credentialsSum" -}}
{{- if and .Values.broker.bundled.enabled (not .Values.broker.existingSecret) }}
{{- include "carina-tasks.makeCredentials" . }}
{{- printf "%s %s %s" .Values.made.control .Values.made.flower .Values.made.password | sha256sum }}
{{- else }}
{{- printf "%s %s %s %s" .Values.broker.existingSecret .Values.broker.ca.existingSecret .Values.broker.clientCertificate.existingSecret .Values.broker.sentinel.existingSecret | sha256sum }}
{{- end }}
{{- end }}
