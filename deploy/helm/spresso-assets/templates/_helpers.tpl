{{/* Names and labels. */}}
{{- define "spresso.name" -}}
{{- if contains "spresso" .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-spresso{{ end }}
{{- end }}

{{- define "spresso.selector" -}}
app.kubernetes.io/name: spresso-assets
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "spresso.labels" -}}
{{ include "spresso.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* A whole pod. Takes root, component, args, resources, and where they apply tag, archive, backup, grace, node, ports. */}}
{{- define "spresso.pod" -}}
{{- $values := .root.Values -}}
metadata:
  labels:
    {{- include "spresso.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with $values.imagePullSecrets }}
  imagePullSecrets: {{ toJson . }}
  {{- end }}
  {{- with .restartPolicy }}
  restartPolicy: {{ . }}
  {{- end }}
  terminationGracePeriodSeconds: {{ .grace | default 60 }}
  {{- with .node }}
  {{- with .runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- with .nodeSelector }}
  nodeSelector: {{ toJson . }}
  {{- end }}
  {{- with .tolerations }}
  tolerations: {{ toJson . }}
  {{- end }}
  {{- end }}
  securityContext:
    {{- toYaml $values.podSecurityContext | nindent 4 }}
    {{- with $values.archive.supplementalGroups }}
    supplementalGroups: {{ toJson . }}
    {{- end }}
    {{- if .backup }}
    fsGroup: {{ $values.podSecurityContext.runAsGroup }}
    fsGroupChangePolicy: OnRootMismatch
    {{- end }}
  containers:
    - name: {{ .component }}
      image: "{{ $values.image.repository }}:{{ .tag | default $values.image.tag }}"
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args: {{ toJson .args }}
      {{- if .backup }}
      workingDir: /backup
      {{- end }}
      env:
        - {name: SPRESSO_CATALOG_FILE, value: /run/secrets/spresso/catalog_url}
        - {name: SPRESSO_BROKER_URL_FILE, value: /run/secrets/spresso/broker_url}
        {{- if $values.bundle.existingClaim }}
        - {name: SPRESSO_BUNDLE, value: /bundle}
        {{- end }}
      {{- with .port }}
      ports:
        - {name: metrics, containerPort: {{ . }}}
      livenessProbe:
        httpGet: {path: /metrics, port: metrics}
        periodSeconds: 60
        timeoutSeconds: 15
      {{- end }}
      resources: {{ toJson .resources }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      volumeMounts:
        - {name: secrets, mountPath: /run/secrets/spresso, readOnly: true}
        - {name: tmp, mountPath: /tmp}
        {{- if .archive }}
        - {name: archive, mountPath: {{ $values.archive.mountPath | quote }}, readOnly: true}
        {{- end }}
        {{- if $values.bundle.existingClaim }}
        - {name: bundle, mountPath: /bundle, readOnly: true}
        {{- end }}
        {{- if .backup }}
        - {name: backup, mountPath: /backup}
        {{- end }}
  volumes:
    - name: secrets
      secret:
        secretName: {{ $values.existingSecret }}
        defaultMode: 0444
        items:
          - {key: catalog_url, path: catalog_url}
          - {key: broker_url, path: broker_url}
    - name: tmp
      emptyDir: {sizeLimit: 2Gi}
    {{- if .archive }}
    - name: archive
      persistentVolumeClaim:
        claimName: {{ required "archive.existingClaim: name the claim that holds your sounds" $values.archive.existingClaim }}
        readOnly: true
    {{- end }}
    {{- with $values.bundle.existingClaim }}
    - name: bundle
      persistentVolumeClaim: {claimName: {{ . }}, readOnly: true}
    {{- end }}
    {{- if .backup }}
    - name: backup
      persistentVolumeClaim:
        claimName: {{ required "backup.existingClaim: name the claim that backups go to" $values.backup.existingClaim }}
    {{- end }}
{{- end }}

{{/* What KEDA counts: jobs of some queues that may begin now, as a worker would find them, and those that run. */}}
{{- define "spresso.ready" -}}
SELECT count(*) FROM job LEFT JOIN batch ON batch.id = job.batch_id
WHERE job.queue IN ('{{ join "','" . }}') AND (job.status = 'running' OR (job.status = 'queued'
AND job.not_before <= extract(epoch FROM now()) * 1000000
AND NOT EXISTS (SELECT 1 FROM queue_pause p WHERE p.queue = job.queue
AND (p.expires_at IS NULL OR p.expires_at > extract(epoch FROM now()) * 1000000))
AND (batch.state IS NULL OR batch.state <> 'paused' OR batch.pause_expires_at <= extract(epoch FROM now()) * 1000000)))
{{- end }}
