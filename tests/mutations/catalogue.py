"""The guards of the design's section 5, and how each is taken out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """One place of the code, as it is and without the guard, and the test that must fail then."""

    file: str
    old: str
    new: str
    test: str
    """File and name, below `tests/unit` unless it begins with `tests/`."""


@dataclass(frozen=True)
class Guard:
    """One guard."""

    what: str
    where: str
    setting: str
    fires: str
    edits: tuple[Edit, ...]


D, F, K, B, L = (f"carina_tasks/{name}/" for name in ("decisions", "flows", "kube", "broker", "lvm"))
FAILOVER, SWEEPS = "test_flows_failover.py::", "test_flows_sweeps.py::"
FAILBACK = "test_flows_failback.py::"
REFUSED, GUARDED = "result `refused`, log", "result `refused`, Event, guards_total"
SKIPPED = "reason in the result"

GUARDS = (
    Guard("a deleted node is absent twice", "node_loss.absent", "CONFIRM_ABSENCE", REFUSED, (
        Edit(D + "node_loss.py", "present = second or first", "present = first",
             FAILOVER + "test_a_node_that_comes_back_in_the_confirmation_is_not_rebuilt"),
        Edit(D + "node_loss.py", "present = second or first", "present = second", "test_node_loss.py::test_a_node_found_once_is_not_absent"),
    )),
    Guard("NotReady has lasted", "node_loss.not_ready", "NOT_READY_AFTER", REFUSED, (
        Edit(D + "node_loss.py", "if age < needed:", "if age < 0:",
             "test_node_loss.py::test_without_witnesses_the_short_wait_counts_to_the_second"),
        Edit(D + "node_loss.py", 'if node.ready == "True":', "if False:",
             "test_node_loss.py::test_a_ready_node_is_not_lost_whatever_its_witnesses_say"),
    )),
    Guard("longer while a witness says that it lives", "node_loss.not_ready", "NOT_READY_WITNESSED, LEASE_FRESH", REFUSED, (
        Edit(D + "node_loss.py", "rules.witnessed if witnesses else rules.after", "rules.after",
             "test_node_loss.py::test_each_witness_alone_lengthens_the_wait"),
        Edit(D + "node_loss.py", '("its Lease", lease_alive)', '("its Lease", False)',
             "test_node_loss.py::test_each_witness_alone_lengthens_the_wait"),
        Edit(D + "node_loss.py", '("its worker", worker_alive)', '("its worker", False)',
             FAILOVER + "test_a_worker_that_still_answers_gives_the_node_more_time"),
    )),
    Guard("mass failure, and never without a healthy target", "guards.mass_failure", "MASS_FAILURE_SHARE", "latch, " + GUARDED, (
        Edit(D + "guards.py", "if len(lost) <= round(share * total, 6):", "if True:", "test_guards.py::test_two_of_three_stops"),
        Edit(D + "guards.py", "if lost and not healthy:", "if False:",
             "test_guards.py::test_without_a_healthy_target_it_stops_whatever_the_share"),
        Edit(F + "loss.py", "ctx.state.write(latched=verdict.reason)", "pass", FAILOVER + "test_mass_failure_stops_and_latches"),
        Edit(F + "failover.py", 'check_mass_failure(ctx, world, node)\n    return fail_over(ctx, node, world, selected, "rebuild"',
             'return fail_over(ctx, node, world, selected, "rebuild"', FAILOVER + "test_mass_failure_stops_and_latches"),
        Edit(F + "failover.py", "check_mass_failure(ctx, world, node)\n    evicted", "evicted",
             FAILOVER + "test_mass_failure_stops_migration_and_resume_too"),
        Edit(F + "resume.py", "check_mass_failure(ctx, world)", "pass",
             FAILOVER + "test_mass_failure_stops_migration_and_resume_too"),
        Edit(F + "loss.py", "    if isinstance(verdict, guards.Wait):\n", "    if False:\n",
             FAILOVER + "test_after_an_outage_of_the_api_server_nothing_latches"),
        Edit(F + "loss.py", "if ctx.cluster.node(name)[0] is not None:", "if False:",
             FAILOVER + "test_a_list_that_lacks_nodes_latches_nothing"),
    )),
    Guard("pause and latch come first", "Context.check_pause", "ConfigMap", GUARDED, (
        Edit(F + "failover.py", "            ctx.check_pause(node)\n            with ctx.lock", "            with ctx.lock",
             FAILOVER + "test_pause_and_latch_come_before_everything"),
        Edit(F + "resume.py", "    only = ctx.approved_alone()\n", "    only = None\n", FAILOVER + "test_pause_and_latch_come_before_everything"),
        Edit(F + "sweep_local.py", "    ctx.check_pause()\n", "", SWEEPS + "test_pause_and_latch_come_before_everything"),
        Edit(F + "sweep_logic.py", "    ctx.check_pause()\n", "", SWEEPS + "test_pause_and_latch_come_before_everything"),
        Edit(F + "context.py", "if state.latched and not state.approved:", "if False:",
             FAILOVER + "test_pause_and_latch_come_before_everything"),
    )),
    Guard("only the approved node is failed over", "Context.check_pause", "ConfigMap", GUARDED, (
        Edit(F + "context.py", "if only is not None and node not in only:", "if False:",
             "test_maintenance.py::test_one_approved_node_is_failed_over_and_no_other"),
        Edit(F + "loss.py", "    if approved - lost:\n", "    if False:\n",
             "test_maintenance.py::test_an_approval_ends_with_the_loss_that_it_was_for"),
    )),
    Guard("planned absence", "node_loss.in_maintenance, node_loss.not_ready", "NOT_READY_CORDONED", "result `refused`, Event", (
        Edit(D + "node_loss.py", "if node.cordoned and not node.out_of_service", "if False and not node.out_of_service",
             "test_node_loss.py::test_a_cordoned_node_waits_longest"),
        Edit(D + "node_loss.py", "if node.out_of_service and not witnesses:", "if node.out_of_service:",
             "test_node_loss.py::test_out_of_service_does_not_wait_unless_a_witness_answers"),
        Edit(F + "loss.py", "    if entry is not None:\n        return node_loss.in_maintenance(entry)\n    confirm", "    confirm",
             "test_maintenance.py::test_nothing_of_a_node_in_maintenance_is_failed_over"),
        Edit(F + "loss.py", 'if entry is not None and fresh.ready != "True":', "if False:",
             "test_maintenance.py::test_nothing_of_a_node_in_maintenance_is_failed_over"),
    )),
    Guard("an LV counts once lvm has wiped it", "local_volume.decide_create, volumes.create_volumes", "", "created again", (
        Edit(D + "local_volume.py", "    if found.unfinished:\n", "    if False:\n",
             "test_local_volume.py::test_an_unfinished_lv_is_created_again"),
        Edit(D + "removal.py", "if not trash_at or removal.volume.unfinished:", "if not trash_at:",
             "test_sim_lvm_adapter.py"),
        Edit(D + "removal.py", "    if volume.unfinished:\n", "    if False:\n",
             "test_local_volume.py::test_an_unfinished_lv_does_not_come_back_from_the_trash"),
        Edit(L + "volumes.py", " or not commands.created(wanted.name, output)", "",
             "test_sim_lvm_adapter.py"),
        Edit(L + "commands.py", "tag = keys.TAG_CREATING + wanted.intent\n", "tag = keys.TAG_INTENT + wanted.intent\n",
             "test_sim_lvm_adapter.py"),
    )),
    Guard("no LV is adopted by its name", "local_volume.decide_create", "", "answer `taken`", (
        Edit(D + "local_volume.py", "if ours in found.tags:", "if True:",
             "test_local_volume.py::test_an_lv_is_never_adopted_by_its_name"),
        Edit(D + "rebuild.py", '            return Wait(f"{view.journal.target}: {view.local.reason}")\n        return NameStale',
             "            return NameStale(view.local.uuid)\n        return NameStale",
             "test_rebuild.py::test_an_lv_that_the_rebuild_did_not_create_is_named_in_the_journal_first"),
    )),
    Guard("an LV without a device is no success", "rebuild.next_step", "", "Wait, with the reason", (
        Edit(D + "rebuild.py", "if view.local.major < 0:", "if False:", "test_rebuild.py::test_an_lv_without_a_device_is_no_success"),
        Edit(L + "volumes.py", " or found.inactive:\n        return _not_done(wanted, said, _missing(found))",
             ":\n        return _not_done(wanted, said, _missing(found))", "test_sim_lvm_adapter.py"),
    )),
    Guard("only annotated pods leave a NotReady node", "selection.of_not_ready_node", "annotation", SKIPPED, (
        Edit(D + "selection.py", "    if not pod.migration_allowed:\n", "    if False:\n",
             FAILOVER + "test_migration_moves_the_annotated_and_touches_nothing_else"),
        Edit(D + "selection.py", "    if not pods:\n", "    if False:\n",
             "test_selection.py::test_not_ready_takes_only_volumes_of_annotated_pods"),
    )),
    Guard("which pods are ended, and once", "eviction.judge", "annotation", "left, with a reason", (
        Edit(D + "eviction.py", "    if pod.finished:\n", "    if False:\n", "test_eviction.py::test_a_finished_pod_is_never_ended"),
        Edit(D + "eviction.py", 'if kind == "migrate" and not pod.migration_allowed:', "if False:",
             "test_eviction.py::test_on_a_not_ready_node_each_of_these_is_left_with_its_reason"),
        Edit(D + "eviction.py", "    if pod.mirror:\n", "    if False:\n",
             "test_eviction.py::test_on_a_not_ready_node_each_of_these_is_left_with_its_reason"),
        Edit(D + "eviction.py", "delete=not pod.deleted_at_once", "delete=True", "test_eviction.py::test_each_half_of_an_eviction_is_done_once"),
        Edit(D + "eviction.py", '    if alive or kind == "failback":\n', "    if False:\n", "test_eviction.py::test_on_a_node_that_is_back_the_pod_gets_its_grace"),
    )),
    Guard("every pod is seen: two lists, and a count", "observe.with_pods_again", "", "the task is tried again", (
        Edit(F + "observe.py", "pods = {pod.meta.uid: pod for pod in world.pods}", "pods = {}",
             FAILOVER + "test_a_list_of_pods_that_was_cut_short_moves_nothing_of_those_it_lacks"),
        Edit(F + "observe.py", "if counted is None or counted <= len(pods):", "if True:",
             FAILOVER + "test_lists_of_pods_that_hold_fewer_than_are_counted_begin_nothing"),
        Edit(F + "rebuild_volume.py", "observe.with_pods_again(ctx, ctx.cluster.observe())", "ctx.cluster.observe()",
             "test_by_hand.py::test_a_pod_that_lists_lack_still_uses_it"),
    )),
    Guard("who may leave a lost target", "selection.of_lost_target", "annotation", SKIPPED, (
        Edit(D + "selection.py", "    if still_empty(world, volume):\n", "    if True:\n",
             "test_selection.py::test_after_that_it_is_a_volume_of_that_node_like_any_other"),
        Edit(F + "planning.py", "elif isinstance(stays := selection.of_lost_target(world, found), selection.Skip):", "elif stays := None:",
             FAILOVER + "test_a_volume_that_was_written_to_meanwhile_is_not_planned_again"),
        Edit(D + "rebuild.py", "if on_target or view.local.transient else", "if view.local.transient else",
             "test_rebuild.py::test_a_volume_that_a_pod_may_have_written_to_is_not_planned_again"),
    )),
    Guard("what follows a volume of its pod", "company.parted", "annotation", SKIPPED, (
        Edit(D + "company.py", "                if key in left:", "                if left and (key := min(left)):",
             "test_company.py::test_it_stays_where_it_is"),
        Edit(D + "company.py", "    return isinstance(selection.of_companion(world, volume, journal), selection.Wanted)", "    return True",
             "test_company.py::test_it_stays_where_it_is"),
        Edit(F + "resume.py", "next((name for name in journal.together if name in left), \"\")", "\"\"",
             "test_company.py::test_while_it_cannot_follow_the_other_is_not_begun"),
        Edit(F + "planning.py", "if not unwritten & set(journal.together)}", "}",
             "test_company.py::test_a_volume_is_not_begun_while_the_other_of_its_pod_has_no_journal"),
    )),
    Guard("an orphan is wanted by nobody", "orphans.judge", "MANAGED_GROUPS", "kept, counted", (
        Edit(D + "orphans.py", "    if logic_volume is None:\n        return f\"PersistentVolume", "    if False:\n        return f\"PersistentVolume",
             "test_orphans.py::test_whoever_may_want_it_keeps_it_and_takes_its_mark_off"),
        Edit(D + "orphans.py", "    if logic_volume.journalled:\n", "    if False:\n",
             "test_orphans.py::test_whoever_may_want_it_keeps_it_and_takes_its_mark_off"),
        Edit(D + "orphans.py", "    if logic_volume.node == node:\n", "    if False:\n",
             "test_orphans.py::test_whoever_may_want_it_keeps_it_and_takes_its_mark_off"),
        Edit(D + "orphans.py", "    if not volume.nodes or node in volume.nodes:\n", "    if False:\n",
             "test_orphans.py::test_whoever_may_want_it_keeps_it_and_takes_its_mark_off"),
        Edit(D + "orphans.py", "    if exotic:\n", "    if False:\n", "test_orphans.py::test_what_is_not_a_plain_closed_volume_of_carinas_is_kept"),
        Edit(D + "orphans.py", "    if local.is_open:\n", "    if False:\n",
             "test_orphans.py::test_what_is_not_a_plain_closed_volume_of_carinas_is_kept"),
    )),
    Guard("its age, its mark and the age of that", "orphans.judge", "ORPHAN_GRACE, ORPHAN_MARK_AGE", "kept, counted", (
        Edit(D + "orphans.py", "if now - local.created < rules.grace:", "if False:",
             "test_orphans.py::test_a_young_volume_is_kept_even_when_marked"),
        Edit(D + "orphans.py", "if now - marked < rules.mark_age:", "if False:",
             "test_orphans.py::test_an_orphan_is_marked_first_and_removed_by_a_later_sweep"),
        Edit(D + "orphans.py", "    if marked is None:\n", "    marked = marked or 0\n    if marked is None:\n",
             "test_orphans.py::test_no_age_replaces_the_mark"),
    )),
    Guard("asked by name before a mark and before a removal", "sweep_local._judge", "", "kept, counted", (
        Edit(F + "sweep_local.py", "if not isinstance(verdict, orphans.Mark | orphans.Remove):", "if not isinstance(verdict, orphans.Mark):",
             SWEEPS + "test_before_removal_both_objects_are_asked_for_by_name"),
        Edit(F + "sweep_local.py", "if not isinstance(verdict, orphans.Mark | orphans.Remove):", "if not isinstance(verdict, orphans.Remove):",
             SWEEPS + "test_before_a_mark_both_objects_are_asked_for_by_name"),
    )),
    Guard("the node looks again: UUID, mark, closed, plain", "removal.decide_remove", "", "`failed` in the result", (
        Edit(D + "removal.py", "    if found.uuid != target.uuid:\n", "    if False:\n", "test_removal.py::test_what_is_not_provably_an_orphan_stays"),
        Edit(D + "removal.py", "    if found.marked_at is None:\n", "    if False:\n", "test_removal.py::test_what_is_not_provably_an_orphan_stays"),
        Edit(D + "removal.py", "    if volume.is_open:\n", "    if False:\n", "test_removal.py::test_what_is_not_provably_an_orphan_stays"),
    )),
    Guard("and lvm itself, under the group's lock", "lvm/commands.py: _may_go", "", "`failed` in the result", (
        Edit(L + "commands.py", "_same(decision.volume), 'lv_device_open", "'lv_device_open", "test_sim_lvm_adapter.py"),
        Edit(L + "commands.py", "    if decision.tag:\n", "    if False:\n", "test_sim_lvm_adapter.py"),
    )),
    Guard("a pod that reads the device gets nothing but zeroes", "local_volume.decide_create, volumes.create_volumes", "ZERO_BLOCK",
          "`zeroing` in the result", (
        Edit(L + "volumes.py", "after = keys.TAG_ZEROING if wanted.zero else keys.TAG_INTENT", "after = keys.TAG_INTENT",
             "test_sim_lvm_adapter.py"),
        Edit(L + "volumes.py", "*(done if isinstance(look, Zeroed) else [])", "*done",
             "test_sim_lvm_adapter.py"),
        Edit(D + "local_volume.py", "return RefuseVolume(NOT_ZEROED) if wanted.zero else Extend(found, size, others)", "return Extend(found, size, others)",
             "test_sim_lvm_adapter.py"),
        Edit(D + "local_volume.py", "    if wanted.zero and found.size < size:\n", "    if False:\n",
             "test_sim_lvm_adapter.py"),
        Edit(F + "steps.py", "and rebuild.block(view.journal.manifest) and not shown", "and False",
             FAILOVER + "test_the_device_of_a_block_volume_is_zeroed_before_the_pv_is_replaced"),
        Edit(D + "failback.py", "    if zero_block and block(dict(pv.raw)):\n", "    if False:\n",
             "test_failback.py::test_a_smaller_copy_that_is_read_as_a_device_is_not_extended"),
    )),
    Guard("a failback uses the LV that the operator confirmed, or none", "failback.judge, local_volume.decide_create", "",
          "result `refused`, or given up", (
        Edit(F + "failback.py", "[copy for copy in possible if copy[1].name not in confirmed]", "[]",
             FAILBACK + "test_nothing_happens_until_the_name_of_each_volume_confirms_it"),
        Edit(D + "failback.py", "    if why := _of_another(local, volume):\n", '    if why := "":\n',
             "test_failback.py::test_a_copy_that_cannot_be_the_volume_says_why"),
        Edit(F + "failback.py", "    ctx.check_pause()\n", "",
             FAILBACK + "test_a_node_that_was_approved_alone_is_no_excuse"),
        Edit(D + "local_volume.py", "if found.is_open and not wanted.in_use:", "if False:",
             "test_local_volume.py::test_an_old_copy_that_is_not_what_was_asked_for_is_refused"),
        Edit(D + "local_volume.py", "    if (unfit := unfit_to_return(found)) is not None:\n", "    if (unfit := None) is not None:\n",
             "test_local_volume.py::test_an_old_copy_that_is_not_what_was_asked_for_is_refused"),
        Edit(D + "local_volume.py", "if wanted.name not in (found.name, found.old_name):", "if False:",
             "test_local_volume.py::test_an_old_copy_that_is_not_what_was_asked_for_is_refused"),
        Edit(D + "rebuild.py", "if journal.failback and view.local.uuid != journal.copy:", "if False:",
             FAILBACK + "test_an_answer_about_another_lv_is_not_believed"),
        Edit(F + "planning.py", "elif found.journal.failback and not found.journal.given_up and", "elif False and",
             FAILBACK + "test_a_copy_that_cannot_be_restored_leaves_the_volume_where_it_is"),
    )),
    Guard("a failback keeps the volumes of a pod together", "advance._all_or_none, steps.act", "", "given up", (
        Edit(F + "advance.py", "if need.journal.failback and other and name not in failed:", "if False:",
             FAILBACK + "test_one_copy_that_cannot_be_restored_gives_up_the_other_of_its_pod"),
        Edit(F + "steps.py", "if reason := _parted_from(ctx, journal):", "if reason := \"\":",
             FAILBACK + "test_a_volume_whose_other_was_given_up_meanwhile_is_given_up"),
    )),
    Guard("a volume does not leave a target that has another of its pod", "company.held_by", "", "it waits", (
        Edit(F + "planning.py", "elif held := company.held_by(world, found.journal, maintenance):", 'elif held := "":',
             FAILOVER + "test_a_volume_does_not_leave_a_target_that_already_has_another_of_its_pod"),
    )),
    Guard("a list that lacks a PV proves nothing", "observe.with_pvs_by_name", "", "read by name", (
        Edit(F + "planning.py", "    world = observe.with_pvs_by_name(ctx, world, by_name.keys() | companions)\n", "",
             FAILOVER + "test_a_list_that_lacks_a_pv_is_no_proof_that_a_volume_is_empty"),
    )),
    Guard("a failback ends no pod by force", "eviction.judge", "", "normal grace period", (
        Edit(D + "eviction.py", ' or kind == "failback":', ":",
             FAILBACK + "test_a_pod_on_a_node_that_is_lost_meanwhile_is_not_ended_by_force"),
    )),
    Guard("an LV that lvm or an administrator is working on", "report.at_work", "", "kept, `failed` in the result", (
        Edit(D + "removal.py", "    if volume.at_work:\n", "    if False:\n", "test_removal.py::test_what_lvm_is_working_on_stays"),
        Edit(D + "orphans.py", "    if local.at_work:\n        return Keep(f\"it is left alone until that has ended: {local.at_work}\", \"at-work\")\n    wanted",
             "    wanted", "test_orphans.py::test_what_lvm_is_working_on_is_left_alone"),
        Edit(D + "local_volume.py", "    if found.at_work:\n        return left_alone(found)\n    if keys.TAG_ZEROING", "    if keys.TAG_ZEROING",
             "test_local_volume.py::test_what_lvm_is_working_on_is_left_alone"),
        Edit(L + "commands.py", " && {state}'", "'", "test_sim_lvm_adapter.py"),
    )),
    Guard("orphans of one sweep and node", "guards.orphan_cap", "ORPHAN_LIMIT, ORPHAN_SHARE", "Event, guards_total", (
        Edit(D + "guards.py", "if orphans <= allowed:", "if True:", "test_guards.py::test_above_the_cap_only_the_confirmed_number_goes"),
        Edit(D + "guards.py", "if orphans == confirmed:", "if confirmed:", "test_guards.py::test_a_person_confirms_the_very_number"),
        Edit(F + "sweep_local.py", "if isinstance(cap, guards.Stop):", "if False:",
             SWEEPS + "test_above_the_cap_nothing_is_removed_until_a_person_names_the_number"),
    )),
    Guard("the trash is kept for its time", "orphans.judge_trash", "TRASH_RETENTION", "kept", (
        Edit(D + "orphans.py", "    if age < retention:\n", "    if False:\n", "test_orphans.py::test_the_trash_is_purged_after_its_retention"),
        Edit(D + "orphans.py", "if logic_volume is None else max(rules.retention, rules.old_copies)", "if True else 0.0",
             "test_orphans.py::test_an_old_copy_of_a_failover_is_kept_for_longer"),
    )),
    Guard("a LogicVolume that somebody may want", "logic_volumes.judge", "LOGIC_VOLUME_GRACE", "kept, noted", (
        Edit(D + "logic_volumes.py", "    if logic_volume.journalled:\n", "    if False:\n",
             "test_logic_volumes.py::test_what_is_young_journalled_owned_or_not_ours_is_kept"),
        Edit(D + "logic_volumes.py", "    if meta.owners:\n", "    if False:\n",
             "test_logic_volumes.py::test_what_is_young_journalled_owned_or_not_ours_is_kept"),
        Edit(D + "logic_volumes.py", "    if now - meta.created < grace:\n", "    if False:\n",
             "test_logic_volumes.py::test_what_is_young_journalled_owned_or_not_ours_is_kept"),
        Edit(D + "logic_volumes.py", "if claim is not None and claim.volume == logic_volume.name:", "if False:",
             "test_logic_volumes.py::test_a_claim_that_still_names_it_keeps_it"),
        Edit(F + "sweep_logic.py", "pv, claim = ctx.cluster.volume(volume.name), ctx", "pv, claim = world.volumes.get(volume.name), ctx",
             SWEEPS + "test_the_pv_is_asked_for_by_name_before_anything_goes"),
    )),
    Guard("an error is never absence", "Api._call, Api.list", "", "the task fails or is tried again", (
        Edit(K + "api.py", 'reason == "NotFound" and details.get("name") == wanted', "True", "test_kube_api.py::test_no_other_404_is_absence"),
        Edit(K + "api.py", "            if not more:\n", "            if True:\n", "test_kube_api.py::test_a_list_is_all_its_pages"),
        Edit(F + "sweep_local.py", "if any(u.name == name for u in world.unreadable):", "if False:",
             SWEEPS + "test_an_unreadable_logic_volume_keeps_its_local_volume"),
    )),
    Guard("every write names the UID, and the version where order matters", "kube/volumes.py: _guarded", "", "read again, decided again", (
        Edit(K + "volumes.py", '{"uid": meta.uid, "resourceVersion": meta.version}', '{"uid": meta.uid}',
             "test_volumes_writes.py::test_an_object_that_changed_is_never_written"),
        Edit(K + "volumes.py", '{"uid": meta.uid, "resourceVersion": meta.version}', '{"resourceVersion": meta.version}',
             "test_volumes_writes.py::test_an_object_of_another_uid_is_never_written"),
        Edit(K + "api.py", '{"uid": uid} | ({"resourceVersion": version} if version else {})', "{}",
             "test_kube_api.py::test_a_deletion_carries_its_preconditions"),
    )),
    Guard("every task expires", "ControlTask, NodeCalls.send", "NODE_DEADLINE", "the task is revoked", (
        Edit(B + "calls.py", "expires=self._deadline + more,", "expires=None,",
             "test_calls.py::test_a_question_expires_with_its_deadline_and_names_its_node"),
        Edit("carina_tasks/tasks/failover.py", 'name="carina.failover.rebuild_node", expires=300', 'name="carina.failover.rebuild_node", expires=None',
             "test_tasks_base.py::test_every_control_task_expires"),
    )),
    Guard("what a node answers", "read_answer, answers.counts", "ANSWER_LIMIT", "Event, guards_total", (
        Edit(B + "calls.py", "    if len(data) > limit:\n", "    if False:\n",
             "test_calls.py::test_an_answer_just_above_the_limit_is_refused_and_one_at_it_is_read"),
        Edit(B + "calls.py", "            if value.node != node:\n", "            if False:\n", "test_calls.py::test_a_hostile_answer_is_a_bad_answer"),
        Edit(B + "calls.py", "    if len(message) > _LONGEST_MESSAGE:\n", "    if False:\n", "test_answers.py::test_a_long_exception_is_not_built"),
        Edit(D + "answers.py", "if key not in open_ and not beside:", "if False:",
             "test_answers.py::test_a_removal_that_nobody_asked_for_is_not_recorded_as_one"),
        Edit(D + "answers.py", "elif key in open_ and done.outcome not in words.asked:", "elif False:",
             "test_answers.py::test_a_node_that_answers_a_creation_with_another_word_has_created_nothing"),
    )),
    Guard("by hand: unused, on a live node, its name typed out", "by_hand.live, unused, forced", "argument", REFUSED, (
        Edit(D + "by_hand.py", "if force == volume.name:", "if True:", "test_by_hand.py::test_it_is_refused"),
        Edit(D + "by_hand.py", 'if pod.phase != "Pending":', "if False:", "test_by_hand.py::test_it_is_refused"),
        Edit(D + "by_hand.py", "if local is not None and local.is_open:", "if False:", "test_by_hand.py::test_it_is_refused"),
        Edit(D + "by_hand.py", 'if node.ready != "True":', "if False:", "test_by_hand.py::test_it_is_refused"),
        Edit(F + "rebuild_volume.py", "if volume is None or volume.node != node:", "if volume is None:",
             "test_by_hand.py::test_a_message_that_comes_twice_moves_it_once"),
    )),
    Guard("nothing unchecked reaches lvm", "lvm/command.py: _argument, _shell_word", "", "BadInput", (
        Edit(L + "command.py", "or not value.isprintable()", "", "test_lvm_command.py::test_arguments_that_no_command_takes"),
        Edit(L + "command.py", """if "'" in _argument(value) or""", "if", "test_lvm_command.py::test_arguments_that_would_fall_apart_in_the_shell"),
    )),
)  # fmt: skip


def table() -> str:
    """Return the guards as docs/reliability.md shows them."""
    rows = ["| guard | function | setting | when it says no | taken out, this fails |", "|---|---|---|---|---|"]
    for guard in GUARDS:
        tests = ", ".join(dict.fromkeys(f"`{edit.test.split('::')[-1]}`" for edit in guard.edits))
        where = ", ".join(f"`{one}`" for one in guard.where.split(", ")) if ":" not in guard.where else guard.where
        settings = ", ".join(f"`{one}`" if one.isupper() else one for one in guard.setting.split(", ") if one)
        rows.append(f"| {guard.what} | {where} | {settings} | {guard.fires} | {tests} |")
    return "\n".join(rows)
