// Starts the insurer's page.
import "./app.css";
import { mount } from "svelte";
import Shared from "./share/Shared.svelte";

mount(Shared, { target: document.getElementById("app")! });
